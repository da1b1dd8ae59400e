/** AuditEvents as a store takes them. */

/** A long text that many AuditEvents share, so that a store may keep it once. Pass the same object each time. */
export interface SharedText {
  readonly text: string;
}

/** An AuditEvent with its search values and the authorities to notify. Append-only: nothing changes it afterwards. */
export interface AuditWrite {
  readonly id: string;
  readonly recordedMs: number;
  readonly body: string;
  /** The same text in pieces, in order, where many AuditEvents share some of them. */
  readonly pieces?: readonly (string | SharedText)[];
  /** Literal references as `Type/id`, for the search parameters `patient`, `agent` and `entity`. */
  readonly patients: readonly string[];
  readonly agents: readonly string[];
  readonly entities: readonly string[];
  /** Codes; their systems are fixed, see `auditTokenSystems`. */
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  /** Access labels, as on resources: which authorities may see it, and whether it belongs to the access history. */
  readonly labels: readonly string[];
  /** Ids of the local authorities to notify: one delivery each, in the same atomic write. */
  readonly deliverTo: readonly string[];
}

/** The systems of the token parameters of AuditEvent. A token clause with another system matches nothing. */
export const auditTokenSystems = {
  type: 'http://terminology.hl7.org/CodeSystem/audit-event-type',
  subtype: 'http://hl7.org/fhir/restful-interaction',
  action: 'http://hl7.org/fhir/audit-event-action',
  outcome: 'http://hl7.org/fhir/audit-event-outcome',
} as const;
