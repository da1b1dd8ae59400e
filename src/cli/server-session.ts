import { type AccessTokenSource, TokenRefused } from '../auth/access-token-source.ts';
import { defined } from '../fhir/defined.ts';
import { type BackOffOptions, type Failure, failureOf, isTransient, withBackOff } from './back-off.ts';
import { CommandError } from './command-line.ts';

/** Not usage, nothing of the data: the server could not be worked with. The same command may be given again. */
export const serverUnusable = 3;

export interface Answer {
  readonly status: number;
  /** The parsed JSON; undefined when it was none. */
  readonly body: unknown;
}

interface SessionOptions {
  readonly baseUrl: string;
  readonly tokens: AccessTokenSource;
  readonly requestTimeoutMs: number;
}

/** Requests to the FHIR server that wait out what passes. */
export interface ServerSession {
  /**
   * `path` is relative to the FHIR base. 429, 5xx and broken connections are tried again; other answers are given. Throws
   * GaveUp, and CommandError when the client is not accepted.
   */
  request(method: string, path: string, body: unknown, backOff: BackOffOptions): Promise<Answer>;
}

export function openServerSession({ baseUrl, tokens, requestTimeoutMs }: SessionOptions): ServerSession {
  async function send(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Answer | Failure> {
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

  /** A token may have been revoked with the key that it was signed by: one new one is tried. */
  async function attempt(method: string, path: string, body: unknown, signal: AbortSignal): Promise<Answer | Failure> {
    try {
      const answer = await send(method, path, body, signal);
      if (!('status' in answer) || answer.status !== 401) return answer;
      tokens.forget();
      return await send(method, path, body, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof TokenRefused) {
        if (isTransient(error.status)) return { reason: error.message };
        throw new CommandError(
          `There is no access token: ${error.message}. Is the key in the registry?`,
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
  if (error instanceof DOMException && error.name === 'TimeoutError') return 'the server did not answer in time';
  const cause: unknown = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? ` (${String(cause.code)})` : '';
  return `the server could not be reached${code}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
