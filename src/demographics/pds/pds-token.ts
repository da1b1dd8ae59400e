import type { JWK } from 'jose';
import { clientAssertionType, signClientAssertion } from '../../auth/client-assertion.ts';
import type { Clock } from '../../clock/clock.ts';
import { membersOf, textOf } from '../../fhir/any-json.ts';
import type { PdsHttp } from './pds-http.ts';
import type { PdsFailure } from './read-answer.ts';

/** How this server is registered with NHS England's API platform for application-restricted access. */
export interface PdsApplication {
  readonly tokenUrl: string;
  /** The API key. */
  readonly clientId: string;
  /** An RSA key with `kid`. */
  readonly privateJwk: JWK;
}

export interface PdsToken {
  /** Returns a valid token, requested when there is none. Never rejects. */
  get(timeoutMs: number): Promise<string | PdsFailure>;
  /** Drops the token because the service refused it. */
  forget(): void;
}

const alg = 'RS512';
const renewBeforeMs = 30_000;
const maxTokenLength = 8_192;

/** Opens the token source: a signed JWT (RS512) is exchanged for a token, which is used until shortly before it expires. */
export function openPdsToken(
  { tokenUrl, clientId, privateJwk }: PdsApplication,
  http: Pick<PdsHttp, 'send'>,
  clock: Pick<Clock, 'elapsed'>,
): PdsToken {
  let current: { readonly token: string; readonly untilMs: number } | undefined;
  let pending: Promise<string | PdsFailure> | undefined;

  async function request(timeoutMs: number): Promise<string | PdsFailure> {
    const sentMs = clock.elapsed();
    // The token endpoint compares `exp` with its own clock, so that the wall clock applies here.
    const assertion = await signClientAssertion({ clientId, tokenUrl, privateJwk, alg, nowMs: Date.now() });
    const answer = await http.send({
      method: 'POST',
      url: tokenUrl,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new URLSearchParams({
        grant_type: 'client_credentials',
        client_assertion_type: clientAssertionType,
        client_assertion: assertion,
      }).toString(),
      timeoutMs,
    });
    if (answer.kind === 'failed') return { kind: 'failed', reason: `token-${answer.reason}`, mayPass: true };
    const { access_token, expires_in } = membersOf(answer.body);
    const token = textOf(access_token) ?? '';
    // The platform sends the lifetime as a string.
    const lifetimeS = Number(expires_in);
    if (answer.status !== 200 || !/^[!-~]+$/.test(token) || token.length > maxTokenLength || !(lifetimeS > 0)) {
      return { kind: 'failed', reason: `token-status-${answer.status}`, mayPass: answer.status >= 500 };
    }
    current = { token, untilMs: sentMs + lifetimeS * 1_000 - renewBeforeMs };
    return token;
  }

  return {
    get(timeoutMs) {
      if (current !== undefined && clock.elapsed() < current.untilMs) return Promise.resolve(current.token);
      pending ??= request(timeoutMs)
        .catch((): PdsFailure => ({ kind: 'failed', reason: 'token-not-signed', mayPass: false }))
        .finally(() => {
          pending = undefined;
        });
      return pending;
    },
    forget() {
      current = undefined;
    },
  };
}
