/** What the HTTP layer is given: the interactions, who may call, and its limits. It reads no settings itself. */
import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import type { Caller } from '../cpis/caller.ts';
import type { InteractionCode, SystemInteraction, TypeInteraction } from '../cpis/interaction-table.ts';
import type { FhirFault } from '../fhir/fault.ts';
import type { Perform } from '../interactions/port/interaction.ts';
import type { OpenedSocket } from './opened-socket.ts';

/** What is served: whatever is not listed has no route. */
export interface ServedInteractions {
  readonly types: Readonly<Record<string, readonly TypeInteraction[]>>;
  readonly system: readonly SystemInteraction[];
}

export interface HttpLimits {
  readonly bodyLimitBytes: number;
  /** Of forms: `_search` and the token endpoint. */
  readonly formLimitBytes: number;
  /** Request line and headers together. */
  readonly headerLimitBytes: number;
  /** From the first byte of a request to the last of its body. */
  readonly requestTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxConnections: number;
  /** Interactions at work at one time; above it the answer is 503 at once, so that no queue grows without end. */
  readonly maxConcurrent: number;
  /** Requests without a valid token that one address may send, as each of them is audited; above it the answer is 429. */
  readonly unauthenticatedPerSecond: number;
  /** How many of them may come at once. */
  readonly unauthenticatedBurst: number;
}

export const defaultHttpLimits: HttpLimits = {
  bodyLimitBytes: 5 * 1024 * 1024,
  formLimitBytes: 32 * 1024,
  headerLimitBytes: 16 * 1024,
  requestTimeoutMs: 30_000,
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 5_000,
  maxConnections: 4_096,
  maxConcurrent: 1_024,
  unauthenticatedPerSecond: 10,
  unauthenticatedBurst: 100,
};

/** A request that was refused before its interaction began: there is nobody else to audit it. */
export interface RefusedRequest {
  readonly fault: FhirFault;
  /** Undefined: the refusal is that nobody could be authenticated. */
  readonly caller: Caller | undefined;
  readonly requestId: string;
  readonly correlationId: string | undefined;
  readonly clientAddress: string;
  /** Where no route matched: the one that the method suggests. */
  readonly interaction: InteractionCode;
  /** Undefined for Bundles, and where no route matched. */
  readonly type: string | undefined;
  /** Method and target as they came, the first 256 characters when nobody could be authenticated; never logged. */
  readonly raw: string;
}

/** What the token endpoint answers. */
interface TokenResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
}

export interface ServerOptions {
  /** Path of the FHIR base, such as `/FHIR/R4`. */
  readonly basePath: string;
  /** The FHIR base as clients know it, base path included and without a slash at its end: Location starts with it. */
  readonly publicBaseUrl: string;
  readonly interactions: ServedInteractions;
  readonly perform: Perform;
  /** Takes the Authorization header. Throws FhirFault `login`. */
  readonly authenticate: (authorization: string | undefined) => Caller | Promise<Caller>;
  readonly issueToken: (form: URLSearchParams) => Promise<TokenResponse>;
  readonly smartConfiguration: () => unknown;
  readonly jwks: () => unknown;
  /** The public keys that notifications are verified with, a JWK Set. */
  readonly notificationKeys: () => unknown;
  /** Takes a WebSocket that has been opened, by whomever. */
  readonly acceptSocket: (channel: OpenedSocket) => void;
  /** JSON text. */
  readonly capabilityStatement: string;
  /** Resolves when the refusal is durable. Rejects: it is answered 503 instead. */
  readonly refusalAudit: (refused: RefusedRequest) => Promise<void>;
  readonly isReady: () => boolean;
  /** Others register their metrics on the same registry. */
  readonly metrics: MetricRegistry;
  /** Takes the Authorization header of a request for `/metrics`. Throws FhirFault `login`; false: known, and not allowed. */
  readonly authorizeMetrics: (authorization: string | undefined) => boolean | Promise<boolean>;
  /** From `buildLogger`. */
  readonly logger: Logger;
  /** A UUID. */
  readonly newId: () => string;
  readonly limits?: Partial<HttpLimits>;
  /** Addresses or CIDR blocks of proxies whose X-Forwarded-For is believed; none by default. */
  readonly trustedProxies?: readonly string[];
}
