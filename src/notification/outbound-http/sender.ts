import { Agent, Pool, request } from 'undici';
import { type GuardOptions, guardedConnector } from './address-guard.ts';
import type { EndpointTlsMap } from './endpoint-tls.ts';
import { parseRetryAfter } from './parse-retry-after.ts';
import type { Signing, SignNotification } from './sign-notification.ts';

/** One HTTP request to a subscriber. `headers` is a flat list of names and values. */
export interface Notification {
  readonly method: 'PUT' | 'POST';
  readonly url: string;
  readonly headers: readonly string[];
  readonly body: string;
  readonly signing: Signing;
  /** How long this request may take, if less than the sender's own deadline. */
  readonly deadlineMs?: number;
}

/** The result of a request. Only a 2xx whose response was read to its end, or cut at the cap, is an acknowledgement. */
export type SendResult =
  | { readonly kind: 'acknowledged'; readonly status: number }
  | {
      readonly kind: 'failed';
      /**
       * `timeout`, `dns`, `tls`, `connection`, `refused-address` or `status-<code>`: never a value from the endpoint.
       */
      readonly reason: string;
      /** `Retry-After` in milliseconds from now; not bounded. */
      readonly retryAfterMs?: number;
      /** True if the endpoint works and refuses this one event (400, 409, 412, 413, 422). */
      readonly endpointAlive: boolean;
    };

/** Never rejects. */
export type Send = (notification: Notification) => Promise<SendResult>;

export interface SenderOptions extends GuardOptions {
  /** How long a request may take in total: connecting, TLS, headers and body. */
  readonly deadlineMs: number;
  /** Maximum bytes of a response body that are read, and discarded, before the connection is cut. */
  readonly responseCapBytes: number;
  /** Maximum connections to one origin. */
  readonly connectionsPerOrigin: number;
  readonly now: () => number;
  /** Client certificates and certificate authorities of single endpoints. */
  readonly tls?: EndpointTlsMap;
  /** Signs each attempt. */
  readonly sign: SignNotification;
}

export interface Sender {
  readonly send: Send;
  /** Cuts the requests in flight. */
  close(): Promise<void>;
}

const refusalsOfTheEvent = new Set([400, 409, 412, 413, 422]);

/** Opens a sender with its own pool of connections. It follows no redirect and decompresses no response. */
export function openSender(options: SenderOptions): Sender {
  const { deadlineMs, responseCapBytes, connectionsPerOrigin, now, sign, tls } = options;
  const agent = new Agent({
    factory: (origin, pool) =>
      new Pool(origin, { ...pool, connect: guardedConnector({ ...options, ...tls?.get(new URL(origin).origin) }) }),
    connections: connectionsPerOrigin,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 10_000,
    keepAliveMaxTimeout: 60_000,
    maxHeaderSize: 16_384,
  });

  const send: Send = async ({ method, url, headers, body, signing, deadlineMs: ownMs = deadlineMs }) => {
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), Math.max(0, Math.min(ownMs, deadlineMs)));
    try {
      const response = await untilAborted(
        request(url, {
          dispatcher: agent,
          method,
          headers: [...headers, ...sign(signing, body)],
          body,
          signal: deadline.signal,
        }),
        deadline.signal,
      );
      const status = response.statusCode;
      await drain(response.body, responseCapBytes);
      if (status >= 200 && status < 300) return { kind: 'acknowledged', status };
      const retryAfterMs = parseRetryAfter(single(response.headers['retry-after']), now());
      return {
        kind: 'failed',
        reason: `status-${status}`,
        ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
        endpointAlive: refusalsOfTheEvent.has(status),
      };
    } catch (error) {
      return { kind: 'failed', reason: deadline.signal.aborted ? 'timeout' : classOf(error), endpointAlive: false };
    } finally {
      clearTimeout(timer);
    }
  };
  return { send, close: () => agent.destroy() };
}

/** Settles as the request does, or rejects on abort: undici itself does not end a request that is still connecting. */
export function untilAborted<T>(pending: Promise<T>, signal: AbortSignal): Promise<T> {
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
  return Promise.race([pending, aborted]);
}

/** Reads the body to its end, or cuts the connection at the cap. Rejects if the body ends early. */
async function drain(body: AsyncIterable<Uint8Array>, capBytes: number): Promise<void> {
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > capBytes) return;
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

/** Returns the class of an error of a request: `timeout`, `dns`, `tls`, `connection` or `refused-address`. */
export function classOf(error: unknown): string {
  const code = codeOf(error);
  if (code === 'CPIS_REFUSED_ADDRESS') return 'refused-address';
  if (/TIMEOUT|^ETIMEDOUT$/.test(code)) return 'timeout';
  if (/^(ENOTFOUND|EAI_)/.test(code)) return 'dns';
  if (/^(ERR_TLS|ERR_SSL|CERT_|EPROTO$|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|HOSTNAME_MISMATCH)/.test(code)) return 'tls';
  return 'connection';
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return '';
  const own = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return own === '' && error.cause !== undefined ? codeOf(error.cause) : own;
}
