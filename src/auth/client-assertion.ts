import { randomUUID } from 'node:crypto';
import { importJWK, type JWK, SignJWT } from 'jose';
import { defined } from '../fhir/defined.ts';
import type { IuaClaims } from './iua.ts';

interface ClientAssertionOptions {
  readonly clientId: string;
  readonly tokenUrl: string;
  /** Must have a `kid`. */
  readonly privateJwk: JWK;
  /** Default: the key's own `alg`. */
  readonly alg?: string;
  /** Names the professional. Required for care providers. */
  readonly iua?: IuaClaims;
  readonly nowMs: number;
  /** Default 240 s. The server accepts at most 300. */
  readonly lifetimeS?: number;
}

export const clientAssertionType = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

/** Signs a client assertion for one `private_key_jwt` token request (RFC 7523 section 2.2). */
export async function signClientAssertion(options: ClientAssertionOptions): Promise<string> {
  const { clientId, tokenUrl, privateJwk, iua, nowMs, lifetimeS = 240 } = options;
  const alg = options.alg ?? privateJwk.alg;
  if (alg === undefined || privateJwk.kid === undefined) throw new TypeError('The private key must have alg and kid.');
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

/** Builds the form body of a token request. */
export function buildTokenRequest(assertion: string, scope: string): URLSearchParams {
  return new URLSearchParams({
    grant_type: 'client_credentials',
    client_assertion_type: clientAssertionType,
    client_assertion: assertion,
    scope,
  });
}
