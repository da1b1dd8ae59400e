import type { JWK } from 'jose';
import { membersOf, textOf } from '../fhir/any-json.ts';
import { defined } from '../fhir/defined.ts';
import { buildTokenRequest, signClientAssertion } from './client-assertion.ts';
import type { IuaClaims } from './iua.ts';

export interface TokenClient {
  readonly clientId: string;
  /** With `kid` and `alg`. */
  readonly privateJwk: JWK;
  /** Space-separated. */
  readonly scope: string;
  readonly iua?: IuaClaims | undefined;
}

/** The access tokens of one client, requested with `private_key_jwt` and renewed before they expire. */
export interface AccessTokenSource {
  /** Returns a valid token. Rejects with TokenRefused, or with the error of `fetch`. */
  token(): Promise<string>;
  /** Drops the current token because the server rejected it; the next call requests a new one. */
  forget(): void;
}

/** Thrown when the token endpoint or the SMART configuration returns something other than expected. */
export class TokenRefused extends Error {
  override readonly name = 'TokenRefused';
  readonly status: number;

  constructor(status: number, what: string) {
    super(`${what} returned status ${status}`);
    this.status = status;
  }
}

const renewBeforeMs = 30_000;
const requestTimeoutMs = 15_000;

/** Builds the token source of a client. `baseUrl` is the FHIR base; SMART discovery finds the token endpoint. */
export function openAccessTokenSource(baseUrl: string, client: TokenClient): AccessTokenSource {
  let current: { readonly token: string; readonly goodUntilMs: number } | undefined;
  let pending: Promise<string> | undefined;

  async function fetchToken(): Promise<string> {
    const signal = AbortSignal.timeout(requestTimeoutMs);
    const discovered = await fetch(`${baseUrl}/.well-known/smart-configuration`, { signal });
    const tokenUrl = discovered.ok ? textOf((await readJson(discovered))['token_endpoint']) : undefined;
    if (tokenUrl === undefined) throw new TokenRefused(discovered.status, 'the SMART configuration');
    const { clientId, privateJwk, scope, iua } = client;
    const identity = { clientId, tokenUrl, privateJwk, nowMs: Date.now(), ...defined({ iua }) };
    const body = buildTokenRequest(await signClientAssertion(identity), scope);
    const response = await fetch(tokenUrl, { method: 'POST', body, signal });
    const result = await readJson(response);
    const token = textOf(result['access_token']);
    if (!response.ok || token === undefined) {
      const code = textOf(result['error']) ?? 'no token';
      throw new TokenRefused(
        response.status,
        `the token endpoint (${/^[a-z_]{1,40}$/.test(code) ? code : 'an error'})`,
      );
    }
    const lifetimeS = Number(result['expires_in']) || 0;
    current = { token, goodUntilMs: Date.now() + lifetimeS * 1000 - renewBeforeMs };
    return token;
  }

  return {
    async token() {
      if (current !== undefined && Date.now() < current.goodUntilMs) return current.token;
      pending ??= fetchToken().finally(() => {
        pending = undefined;
      });
      return pending;
    },
    forget() {
      current = undefined;
    },
  };
}

async function readJson(response: Response): Promise<Readonly<Record<string, unknown>>> {
  const text = await response.text();
  try {
    return membersOf(JSON.parse(text));
  } catch {
    return {};
  }
}
