import type { Caller } from './caller.ts';
import type { InteractionCode } from './interaction-table.ts';

/** A piece of an AuditEvent's text; an object, always the same one, where many events have the text in common. */
export type AuditPiece = string | { readonly text: string };

/** The facts of one access. Only identifiers and codes: no result content, no clinical fact, no reason for a visit. */
export interface AccessFacts {
  readonly id: string;
  readonly recordedMs: number;
  readonly interaction: InteractionCode;
  /** The resource type asked for, undefined for a Bundle as a whole. */
  readonly type?: string | undefined;
  /** `0` success, `4` refused, `8` the server failed. https://hl7.org/fhir/R4/valueset-audit-event-outcome.html */
  readonly outcome: '0' | '4' | '8';
  /** The fault category of a refusal. */
  readonly outcomeReason?: string;
  /** Undefined: nobody, the token was refused. */
  readonly caller: Caller | undefined;
  /** Nobody asked: the server does it by itself. */
  readonly byServer?: boolean;
  readonly clientAddress: string;
  readonly requestId: string;
  readonly correlationId?: string | undefined;
  /** The request as it came. Kept base64 in the query entity of a search. */
  readonly raw: string;
  /** NHS numbers of the patients that this access concerns. */
  readonly patientIds: readonly string[];
  /** `Type/id` of the resource read or written, Patients excepted. */
  readonly resource?: string | undefined;
  /** Authorities that hold visible plans on the patient, or own what was written. */
  readonly custodianIds: readonly string[];
  /** Authorities that are notified: some of the custodians, never the acting one. */
  readonly notifyIds: readonly string[];
  /** Whether NHS staff see it in the access history. */
  readonly inAccessHistory: boolean;
}

/** This server, as it names itself in the AuditEvents. */
export interface AuditSource {
  /** The public base URL. */
  readonly baseUrl: string;
}
