/** Options of the HTTP layer. It reads no settings itself. */
import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import type { Caller } from '../cpis/caller.ts';
import type { InteractionCode, SystemInteraction, TypeInteraction } from '../cpis/interaction-table.ts';
import type { FhirFault } from '../fhir/fault.ts';
import type { Perform } from '../interactions/port/interaction.ts';
import type { ForwardingOptions } from './client-address.ts';
import type { OpenedSocket } from './opened-socket.ts';
import type { TlsOptions } from './tls.ts';

/** Interactions that are served. Those not listed have no route. */
export interface ServedInteractions {
  readonly types: Readonly<Record<string, readonly TypeInteraction[]>>;
  readonly system: readonly SystemInteraction[];
}

export interface HttpLimits {
  readonly bodyLimitBytes: number;
  /** Maximum bytes of all bodies from their arrival until the response. Further ones are answered 503. */
  readonly bodiesInFlightBytes: number;
  /** Maximum of them that belong to one client. Further ones are answered 429. */
  readonly bodiesInFlightPerClientBytes: number;
  /** Maximum values in a JSON body. */
  readonly maxJsonValues: number;
  /** Maximum length of forms: `_search` and the token endpoint. */
  readonly formLimitBytes: number;
  /** Maximum length of the request line and headers together. */
  readonly headerLimitBytes: number;
  /** Maximum time from the first byte of a request to the last byte of its body. */
  readonly requestTimeoutMs: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxConnections: number;
  /** Maximum connections of one network: an IPv4 address or an IPv6 /64. */
  readonly maxConnectionsPerAddress: number;
  /** How long a response may make no progress before its connection is cut. */
  readonly stalledAfterMs: number;
  /** How long requests may take to end once the server stops. Less than the time after which the process ends anyway. */
  readonly drainTimeoutMs: number;
  /** Requests of one authenticated client per second, on average. Further ones are answered 429. */
  readonly clientPerSecond: number;
  /** Maximum of them at once. */
  readonly clientBurst: number;
  /** Maximum interactions of one client that run at the same time. Further ones are answered 429. */
  readonly clientConcurrent: number;
  /**
   * Maximum interactions that run at the same time. Further ones are answered 503 at once, so that no queue builds up.
   */
  readonly maxConcurrent: number;
  /**
   * Requests without a valid token that one network may send, because each is audited. Further ones are answered 429.
   */
  readonly unauthenticatedPerSecond: number;
  /** Maximum of them at once. */
  readonly unauthenticatedBurst: number;
}

export const defaultHttpLimits: HttpLimits = {
  bodyLimitBytes: 5 * 1024 * 1024,
  bodiesInFlightBytes: 64 * 1024 * 1024,
  bodiesInFlightPerClientBytes: 20 * 1024 * 1024,
  maxJsonValues: 100_000,
  formLimitBytes: 32 * 1024,
  headerLimitBytes: 16 * 1024,
  requestTimeoutMs: 30_000,
  headersTimeoutMs: 10_000,
  keepAliveTimeoutMs: 75_000,
  maxConnections: 4_096,
  maxConnectionsPerAddress: 512,
  stalledAfterMs: 30_000,
  drainTimeoutMs: 10_000,
  clientPerSecond: 500,
  clientBurst: 2_000,
  clientConcurrent: 256,
  maxConcurrent: 1_024,
  unauthenticatedPerSecond: 10,
  unauthenticatedBurst: 100,
};

/** A request that was refused before its interaction began, so that the interaction cannot audit it. */
export interface RefusedRequest {
  readonly fault: FhirFault;
  /** Undefined if nobody could be authenticated. */
  readonly caller: Caller | undefined;
  readonly requestId: string;
  readonly correlationId: string | undefined;
  readonly clientAddress: string;
  /** `IsUnscheduledAccessEvent`; undefined if absent or invalid. A refused silent read stays silent. */
  readonly unscheduledAccess: boolean | undefined;
  /** If no route matched, the interaction that the method suggests. */
  readonly interaction: InteractionCode;
  /** Undefined for Bundles, and if no route matched. */
  readonly type: string | undefined;
  /** Method and target, verbatim. Only the first 256 characters if nobody could be authenticated. Never logged. */
  readonly raw: string;
}

/** Response of the token endpoint. */
interface TokenResponse {
  readonly status: number;
  readonly body: unknown;
  readonly headers: Readonly<Record<string, string>>;
  /** Why the request was refused, for the log. Never a value from the request. */
  readonly reason?: string | undefined;
  /** The registered client that asked, or that the assertion names, for the log. */
  readonly clientId?: string | undefined;
}

export interface ServerOptions {
  /** Path of the FHIR base, such as `/FHIR/R4`. */
  readonly basePath: string;
  /** Public URL of the FHIR base, base path included, without a slash at the end. `Location` starts with it. */
  readonly publicBaseUrl: string;
  readonly interactions: ServedInteractions;
  readonly perform: Perform;
  /**
   * Authenticates the client of an Authorization header. `certificate` returns the thumbprint of the client certificate of
   * the connection. Throws FhirFault `login`.
   */
  readonly authenticate: (
    authorization: string | undefined,
    certificate: () => string | undefined,
  ) => Caller | Promise<Caller>;
  readonly issueToken: (form: URLSearchParams, certificate: string | undefined) => Promise<TokenResponse>;
  readonly smartConfiguration: () => unknown;
  readonly jwks: () => unknown;
  /** Public keys that verify notifications, a JWK Set. */
  readonly notificationKeys: () => unknown;
  /** Accepts a WebSocket that a client has opened. The client is not authenticated yet. */
  readonly acceptSocket: (channel: OpenedSocket) => void;
  /** JSON text. */
  readonly capabilityStatement: string;
  /** Resolves once the audit record of the refusal is durable. If it rejects, the response is 503. */
  readonly refusalAudit: (refused: RefusedRequest) => Promise<void>;
  readonly isReady: () => boolean;
  /** Returns what operators should know, in words, for `/health/ready`. It is public: no NHS number, no count of plans. */
  readonly notes: () => readonly string[];
  /** Registry of metrics, shared with the rest of the server. */
  readonly metrics: MetricRegistry;
  /** Returns true if the client of an Authorization header may read the metrics. Throws FhirFault `login`. */
  readonly authorizeMetrics: (
    authorization: string | undefined,
    certificate: () => string | undefined,
  ) => boolean | Promise<boolean>;
  /** From `buildLogger`. */
  readonly logger: Logger;
  /** Returns a new UUID. */
  readonly newId: () => string;
  readonly limits?: Partial<HttpLimits>;
  /** Plain HTTP without it. */
  readonly tls?: TlsOptions | undefined;
  /** Proxies that name their clients in X-Forwarded-For or Forwarded; none by default. */
  readonly forwarding?: ForwardingOptions;
}
