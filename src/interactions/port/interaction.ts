/**
 * Requests and answers of interactions, in the terms of FHIR. The HTTP layer and the Bundle interactions both build
 * such requests and render such answers. No interaction knows a header or a status.
 */
import type { Caller } from '../../cpis/caller.ts';
import type { InteractionCode } from '../../cpis/interaction-table.ts';
import type { Issue } from '../../fhir/fault.ts';

/** A FHIR request. */
export interface FhirRequest {
  readonly interaction: InteractionCode;
  /** Resource type in the URL; undefined for batch, transaction and history of all types. */
  readonly type?: string | undefined;
  readonly id?: string | undefined;
  readonly versionId?: string | undefined;
  /** Decoded name-value pairs in request order: a search, or the criteria of a conditional update. */
  readonly query: readonly (readonly [name: string, value: string])[];
  /** The request, verbatim (`GET Flag?patient=...`), for the query entity of the AuditEvent. Never logged. */
  readonly raw: string;
  /** The parsed JSON body. */
  readonly body?: unknown;
  /** `If-Match` / `Bundle.entry.request.ifMatch`, verbatim. */
  readonly ifMatch?: string | undefined;
  /** `If-None-Match` and `If-Modified-Since` / the same in `Bundle.entry.request`, verbatim: conditional read. */
  readonly ifNoneMatch?: string | undefined;
  readonly ifModifiedSince?: string | undefined;
  /** `If-None-Exist` / `Bundle.entry.request.ifNoneExist`, verbatim: search parameters. */
  readonly ifNoneExist?: string | undefined;
  /** True for a plan whose Patient was refused in the same batch: the update changes a recorded plan, or is refused. */
  readonly amendsOnly?: boolean;
}

/** Facts of the request that apply to each entry of a Bundle as well. */
export interface AccessContext {
  readonly caller: Caller;
  /** `X-Request-ID`: a UUID, the client's or ours. */
  readonly requestId: string;
  readonly correlationId?: string | undefined;
  /** The client's network address, for `AuditEvent.agent.network`. */
  readonly clientAddress: string;
  /** `IsUnscheduledAccessEvent`; undefined if it was not sent. */
  readonly unscheduledAccess: boolean | undefined;
  /** `Prefer: handling=` */
  readonly handling: 'strict' | 'lenient' | undefined;
  /** `Prefer: return=` */
  readonly preferReturn: 'minimal' | 'representation' | 'OperationOutcome' | undefined;
}

/** The answer of an interaction. `body` is JSON text that may be sent, because its AuditEvent is durable. */
export interface FhirAnswer {
  readonly kind: 'ok' | 'created' | 'deleted' | 'not-modified';
  readonly body?: string;
  readonly versionId?: string;
  readonly lastUpdatedMs?: number;
  /** `Flag/<id>/_history/<vid>`, relative to the base. */
  readonly location?: string;
  /** Warnings on a write that was accepted. */
  readonly warnings?: readonly Issue[];
}

/** Performs and audits one request. Throws FhirFault, once the refusal has been audited. */
export type Perform = (request: FhirRequest, context: AccessContext) => Promise<FhirAnswer>;
