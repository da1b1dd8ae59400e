import { Agent, request } from 'undici';
import { parseJson } from '../../fhir/json.ts';
import { guardedConnector, type ResolveHost } from '../../notification/outbound-http/address-guard.ts';
import { parseRetryAfter } from '../../notification/outbound-http/parse-retry-after.ts';
import { classOf, untilAborted } from '../../notification/outbound-http/sender.ts';

interface HttpRequest {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly timeoutMs: number;
}

type HttpAnswer =
  | {
      readonly kind: 'answered';
      readonly status: number;
      /** Parsed JSON; undefined if the body is none. */
      readonly body: unknown;
      readonly retryAfterMs: number | undefined;
    }
  /** `reason`: `timeout`, `dns`, `tls`, `connection`, `refused-address` or `too-large`. */
  | { readonly kind: 'failed'; readonly reason: string };

export interface PdsHttp {
  /** Never rejects. Follows no redirect. */
  send(request: HttpRequest): Promise<HttpAnswer>;
  close(): Promise<void>;
}

export interface PdsHttpOptions {
  readonly resolve: ResolveHost;
  /** For the stand-in: allows loopback addresses, also with plain http. */
  readonly allowLoopback: boolean;
  readonly now: () => number;
}

const connectTimeoutMs = 5_000;
const maxConnections = 8;
const maxBodyBytes = 256 * 1024;
const jsonLimits = { maxDepth: 40, maxKeys: 5_000 };

/** Opens the connections to the demographics service and its token endpoint. */
export function openPdsHttp({ resolve, allowLoopback, now }: PdsHttpOptions): PdsHttp {
  const agent = new Agent({
    connect: guardedConnector({ resolve, allowLoopback, connectTimeoutMs }),
    connections: maxConnections,
    pipelining: 1,
    headersTimeout: 0,
    bodyTimeout: 0,
    keepAliveTimeout: 10_000,
    maxHeaderSize: 16_384,
  });
  return {
    async send({ method, url, headers, body, timeoutMs }) {
      const deadline = new AbortController();
      const timer = setTimeout(() => deadline.abort(), timeoutMs);
      try {
        const response = await untilAborted(
          request(url, {
            dispatcher: agent,
            method,
            headers,
            signal: deadline.signal,
            ...(body === undefined ? {} : { body }),
          }),
          deadline.signal,
        );
        const bytes = await readBody(response.body);
        if (bytes === undefined) return { kind: 'failed', reason: 'too-large' };
        const retryAfter = response.headers['retry-after'];
        const retryAfterMs = parseRetryAfter(Array.isArray(retryAfter) ? retryAfter[0] : retryAfter, now());
        return { kind: 'answered', status: response.statusCode, body: parse(bytes), retryAfterMs };
      } catch (error) {
        return { kind: 'failed', reason: deadline.signal.aborted ? 'timeout' : classOf(error) };
      } finally {
        clearTimeout(timer);
      }
    },
    close: () => agent.destroy(),
  };
}

/** Reads a body; undefined if it is too large. The connection is then cut. */
async function readBody(body: AsyncIterable<Uint8Array>): Promise<Buffer | undefined> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    bytes += chunk.length;
    if (bytes > maxBodyBytes) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parse(bytes: Buffer): unknown {
  try {
    return parseJson(bytes, jsonLimits);
  } catch {
    return undefined;
  }
}
