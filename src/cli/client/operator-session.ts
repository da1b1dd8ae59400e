import { openAccessTokenSource } from '../../auth/access-token-source.ts';
import {
  baseUrlOf,
  CommandError,
  type CommandIo,
  type readArguments,
  required,
  wholeNumber,
} from '../terminal/command-line.ts';
import { readPrivateKey } from '../terminal/read-file.ts';
import { type BackOffOptions, GaveUp } from './back-off.ts';
import { openServerSession, type SessionResponse, serverUnusable } from './server-session.ts';

/** The options of a command that uses a running server as an operator. */
export const operatorOptions = {
  server: { type: 'string' },
  'client-id': { type: 'string' },
  key: { type: 'string' },
  'give-up-after-s': { type: 'string' },
} as const;

type OperatorValues = ReturnType<typeof readArguments<typeof operatorOptions>>['values'];

/** Usage of `operatorOptions`. */
export const operatorUsage = `  --server URL         the FHIR base, such as https://cpis.example.org/FHIR/R4
  --client-id ID       your client in the registry, with the role operator
  --key FILE           its private key
  --give-up-after-s N  how long to retry while the server fails, in seconds (default 900)`;

const requestTimeoutMs = 60_000;

/** Sends requests as an operator. */
export interface OperatorSession {
  /** Sends a request and returns the body of a 200. Rejects with GaveUp, or with CommandError for any other response. */
  request<T>(method: string, path: string, body?: unknown): Promise<T>;
  /** Like `request`, but returns the response whatever its status. */
  send(method: string, path: string, body?: unknown): Promise<SessionResponse>;
}

/**
 * Acts as an operator on a running server, until SIGINT or SIGTERM. Resolves to the exit code of `act`, or 130. Rejects with
 * UsageError if an option is wrong, and with CommandError if the server cannot be used.
 */
export async function actAsOperator(
  values: OperatorValues,
  scope: string,
  { stderr }: CommandIo,
  act: (session: OperatorSession) => Promise<number>,
): Promise<number> {
  const baseUrl = baseUrlOf(required(values.server, '--server'), '--server');
  const clientId = required(values['client-id'], '--client-id');
  const privateJwk = readPrivateKey('--key', required(values.key, '--key'));
  const giveUpAfterMs = 1000 * wholeNumber(values['give-up-after-s'], '--give-up-after-s', 1, 86_400, 900);
  const interrupted = new AbortController();
  const onSignal = (): void => interrupted.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  const server = openServerSession({
    baseUrl,
    tokens: openAccessTokenSource(baseUrl, { clientId, privateJwk, scope }),
    requestTimeoutMs,
  });
  const backOff: BackOffOptions = {
    giveUpAfterMs,
    signal: interrupted.signal,
    onWait: (reason, waitMs) => void stderr.write(`${reason}; retrying in ${Math.ceil(waitMs / 1000)} s\n`),
  };
  const send: OperatorSession['send'] = (method, path, body) => server.request(method, path, body, backOff);
  try {
    return await act({
      send,
      async request<T>(method: string, path: string, body?: unknown) {
        const response = await send(method, path, body);
        if (response.status === 200) return response.body as T;
        throw refusedBy(response);
      },
    });
  } catch (error) {
    if (interrupted.signal.aborted) {
      stderr.write('Interrupted. Run the same command to continue.\n');
      return 130;
    }
    if (error instanceof GaveUp) {
      throw new CommandError(`Gave up: ${error.message}. Run the same command to continue.`, serverUnusable);
    }
    throw error;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** Returns the error for a response that refuses the request. */
export function refusedBy({ status, body }: SessionResponse): CommandError {
  const { issue = [] } = (body ?? {}) as { issue?: { diagnostics?: string }[] };
  const text = issue[0]?.diagnostics ?? 'it gave no reason';
  return new CommandError(`The server refused the request (status ${status}): ${text}`, serverUnusable);
}
