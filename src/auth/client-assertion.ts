import { randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import { defined } from '../fhir/defined.ts';
import type { IuaClaims } from './iua.ts';

interface ClientAssertionOptions {
  readonly clientId: string;
  readonly tokenUrl: string;
  /** With `kid`. */
  readonly privateJwk: JWK;
  /** Default: the key's own `alg`. */
  readonly alg?: string;
  /** Names the professional; care providers must. */
  readonly iua?: IuaClaims;
  readonly nowMs: number;
  /** Default 240 s; the server takes 300 at most. */
  readonly lifetimeS?: number;
}

export const clientAssertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** The client's side of `private_key_jwt`: a fresh assertion, good for one token. RFC 7523 section 2.2. */
export async function signClientAssertion(options: ClientAssertionOptions): Promise<string> {
  const { clientId, tokenUrl, privateJwk, iua, nowMs, lifetimeS = 240 } = options;
  const alg = options.alg ?? privateJwk.alg;
  if (alg === undefined || privateJwk.kid === undefined) throw new TypeError('the key needs alg and kid');
  const now = Math.floor(nowMs / 1000);
  return new SignJWT(defined({ extensions: iua && { ihe_iua: iua } }))
    .setProtectedHeader({ alg, kid: privateJwk.kid, typ: 'JWT' })
    .setIssuer(clientId)
    .setSubject(clientId)
    .setAudience(tokenUrl)
    .setIssuedAt(now)
    .setExpirationTime(now + lifetimeS)
    .setJti(randomUUID())
    .sign(await importJWK(privateJwk, alg));
}

/** The form body of a token request, `application/x-www-form-urlencoded`. */
export function buildTokenRequest(assertion: string, scope: string): URLSearchParams {
  return new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: clientAssertionType,
    client_assertion: assertion,
    scope,
  });
}
