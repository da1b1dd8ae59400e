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
  /** Codes; the type decides their systems, see `auditTokenSystems`. */
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  /** Access labels, as on resources: which authorities may see it, and whether it belongs to the access history. */
  readonly labels: readonly string[];
  /** Ids of the local authorities to notify: one delivery each, in the same atomic write. */
  readonly deliverTo: readonly string[];
}

const action = 'http://hl7.org/fhir/audit-event-action';
const outcome = 'http://hl7.org/fhir/audit-event-outcome';

/** The systems of the token parameters of AuditEvent, by the type of event. */
const auditTokenSystems = {
  rest: {
    type: 'http://terminology.hl7.org/CodeSystem/audit-event-type',
    subtype: 'http://hl7.org/fhir/restful-interaction',
    action,
    outcome,
  },
  'plan-life-cycle': {
    type: 'https://cpis-fhir.example.org/fhir/CodeSystem/audit-event-type',
    subtype: 'https://cpis-fhir.example.org/fhir/CodeSystem/plan-life-cycle',
    action,
    outcome,
  },
  'nhs-number-change': {
    type: 'https://cpis-fhir.example.org/fhir/CodeSystem/audit-event-type',
    subtype: 'https://cpis-fhir.example.org/fhir/CodeSystem/nhs-number-change',
    action,
    outcome,
  },
} as const;

/** A token parameter of AuditEvent. */
type AuditTokenParam = keyof (typeof auditTokenSystems)['rest'];

/** Returns true for the code of a token parameter of AuditEvent. */
export function isAuditTokenParam(param: string): param is AuditTokenParam {
  return Object.hasOwn(auditTokenSystems.rest, param);
}

/**
 * Returns the types of events whose codes of `param` have this system; undefined if all have. A token clause matches no
 * event of another type.
 */
export function auditTypesOf(param: AuditTokenParam, system: string | null | undefined): readonly string[] | undefined {
  if (system === undefined) return undefined;
  const all = Object.entries(auditTokenSystems);
  const types = all.filter(([, systems]) => systems[param] === system).map(([type]) => type);
  return types.length === all.length ? undefined : types;
}
