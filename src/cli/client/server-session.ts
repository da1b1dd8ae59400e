import { type AccessTokenSource, TokenRefused } from '../../auth/access-token-source.ts';
import { defined } from '../../fhir/defined.ts';
import { CommandError } from '../terminal/command-line.ts';
import { type BackOffOptions, type Failure, failureOf, isTransient, withBackOff } from './back-off.ts';

/** Exit code of a command that failed because of the server. The user can run the same command again. */
export const serverUnusable = 3;

export interface SessionResponse {
  readonly status: number;
  /** The parsed JSON; undefined if the body is not JSON. */
  readonly body: unknown;
}

interface SessionOptions {
  readonly baseUrl: string;
  readonly tokens: AccessTokenSource;
  readonly requestTimeoutMs: number;
}

/** Sends requests to the FHIR server and retries transient failures. */
export interface ServerSession {
  /**
   * Sends a request; `path` is relative to the FHIR base. Retries 429, 5xx and broken connections and returns any other
   * response. Rejects with GaveUp, or with CommandError if the server does not accept the client.
   */
  request(method: string, path: string, body: unknown, backOff: BackOffOptions): Promise<SessionResponse>;
}

export function openServerSession({ baseUrl, tokens, requestTimeoutMs }: SessionOptions): ServerSession {
  type Outcome = SessionResponse | Failure;

  async function send(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Outcome> {
    const response = await fetch(path === '' ? baseUrl : `${baseUrl}/${path}`, {
      method,
      headers: {
        authorization: `Bearer ${await tokens.token()}`,
        accept: 'application/fhir+json',
        ...defined({ 'content-type': body === undefined ? undefined : 'application/fhir+json' }),
      },
      redirect: 'error',
      signal: AbortSignal.any([signal, AbortSignal.timeout(requestTimeoutMs)]),
      ...defined({ body: body === undefined ? undefined : JSON.stringify(body) }),
    });
    const text = await response.text();
    if (isTransient(response.status)) return failureOf(response);
    return { status: response.status, body: parse(text) };
  }

  /** Sends again with a new token after a 401, because the server may have changed its signing key. */
  async function attempt(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Outcome> {
    try {
      const outcome = await send(method, path, body, signal);
      if (!('status' in outcome) || outcome.status !== 401) return outcome;
      tokens.forget();
      return await send(method, path, body, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TokenRefused) {
        if (isTransient(error.status)) return { reason: error.message };
        throw new CommandError(
          `The server issued no access token: ${error.message}. Check --client-id, and that the public key is in the registry.`,
          serverUnusable,
        );
      }
      return { reason: describe(error) };
    }
  }

  return {
    request: (method, path, body, backOff) => withBackOff(() => attempt(method, path, body, backOff.signal), backOff),
  };
}

function describe(error: unknown): string {
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'the server did not respond in time';
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  return `cannot reach the server${code}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
