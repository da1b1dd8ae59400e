/** Client key pairs for tests: the private half signs, the public half stands in a registry. */
import { createPrivateKey, sign } from 'node:crypto';
import { exportJWK, generateKeyPair, type JWK } from 'jose';
import { buildTokenRequest, signClientAssertion } from '../../src/auth/client-assertion.ts';
import type { IuaClaims } from '../../src/auth/iua.ts';

export interface ClientKeys {
  readonly privateJwk: JWK;
  readonly publicJwk: JWK & { readonly kid: string; readonly kty: string };
}

/** ES384 is much the fastest to make. */
export async function makeClientKeys(kid: string, alg: 'ES384' | 'RS384' | 'RS512' = 'ES384'): Promise<ClientKeys> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const { kty = '', ...rest } = await exportJWK(publicKey);
  return {
    privateJwk: { ...(await exportJWK(privateKey)), kid, alg },
    publicJwk: { ...rest, kty, kid, alg, use: 'sig' },
  };
}

export interface TestClient {
  readonly clientId: string;
  readonly keys: ClientKeys;
  /** Of care providers. */
  readonly iua?: IuaClaims;
}

/** A token request of `client`, freshly signed. */
export async function makeTokenRequest(
  client: TestClient,
  tokenUrl: string,
  scope: string,
  nowMs = Date.now(),
): Promise<URLSearchParams> {
  const assertion = await signClientAssertion({
    clientId: client.clientId,
    tokenUrl,
    privateJwk: client.keys.privateJwk,
    nowMs,
    ...(client.iua === undefined ? {} : { iua: client.iua }),
  });
  return buildTokenRequest(assertion, scope);
}

/** A JWT of exactly these texts, signed over them: for what no library would sign. */
export function forgeJwt(headerJson: string, claimsJson: string, sign: (input: string) => Buffer | string): string {
  const input = `${Buffer.from(headerJson).toString('base64url')}.${Buffer.from(claimsJson).toString('base64url')}`;
  const signature = sign(input);
  return `${input}.${typeof signature === 'string' ? signature : signature.toString('base64url')}`;
}

/** Signs as `alg` (RS256, ES384, ...) with a private JWK, whatever the JWK says of itself. */
export function signerOf(privateJwk: JWK, alg: string): (input: string) => Buffer {
  const key = createPrivateKey({ key: { ...privateJwk }, format: 'jwk' });
  return (input) => sign(`sha${alg.slice(2)}`, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
}
