import type { Caller } from './caller.ts';
import type { InteractionCode } from './interaction-table.ts';

/**
 * A piece of an AuditEvent's text. Text that many events share is always the same object, so that a store can keep it
 * once.
 */
export type AuditPiece = string | { readonly text: string };

/** Facts of one access: identifiers and codes only, no result content, clinical fact or reason for a visit. */
export interface AccessFacts {
  readonly id: string;
  readonly recordedMs: number;
  readonly interaction: InteractionCode;
  /** Resource type in the request; undefined for a Bundle as a whole. */
  readonly type?: string | undefined;
  /** `0` success, `4` refused, `8` the server failed. https://hl7.org/fhir/R4/valueset-audit-event-outcome.html */
  readonly outcome: '0' | '4' | '8';
  /** The fault category of a refusal. */
  readonly outcomeReason?: string;
  /** Undefined if the token was refused. */
  readonly caller: Caller | undefined;
  /** True for a change that the server itself makes. */
  readonly byServer?: boolean;
  readonly clientAddress: string;
  readonly requestId: string;
  readonly correlationId?: string | undefined;
  /** The request, verbatim. Without secrets, it is stored in base64 in the query entity of a search or refusal. */
  readonly raw: string;
  /** NHS numbers of the patients that this access concerns. */
  readonly patientIds: readonly string[];
  /** `Type/id` of the resource read or written, unless it is a Patient. */
  readonly resource?: string | undefined;
  /** Authorities that hold visible plans on the patient, or that own the resource written. */
  readonly custodianIds: readonly string[];
  /** Authorities to notify: some of the custodians, never the acting one. */
  readonly notifyIds: readonly string[];
  /** True for a silent read, which auditors alone see. */
  readonly isSilent?: boolean | undefined;
  /** True if NHS staff see it in the access history. */
  readonly inAccessHistory: boolean;
}

/** How this server names itself in AuditEvents. */
export interface AuditSource {
  /** The public base URL. */
  readonly baseUrl: string;
}
