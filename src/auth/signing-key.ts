import { hkdfSync } from 'node:crypto';
import { type CryptoKey, importJWK, type JWK } from 'jose';
import { createPrivateFile } from '../files/private-file.ts';
import {
  makeSigningJwk,
  parseSigningJwk,
  readSigningJwks,
  renderSigningJwks,
  type SigningJwk,
} from './signing-key-file.ts';

/** The server's ES256 key for access tokens, and the keys that are derived from it. */
export interface SigningKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly publicJwk: JWK;
  /** HMAC key of search cursors, 32 bytes, derived from the signing key. */
  readonly cursorKey: Buffer;
  /** AES key for the headers of stored Subscriptions, 32 bytes, derived from the signing key. */
  readonly sealKey: Buffer;
  /** HMAC key of WebSocket binding tokens, 32 bytes, derived from the signing key. */
  readonly bindingKey: Buffer;
  /** The other keys of the file. They verify and open, and neither sign nor seal. */
  readonly older: readonly SigningKey[];
}

/**
 * Loads the private JWKs (EC P-256) in a file. Creates the file with one key, readable by its owner only, if it does not
 * exist. Processes that start at the same time all load the same key. Rejects if the file holds anything else.
 */
export async function openSigningKey(file: string): Promise<SigningKey> {
  const there = await findSigningKey(file);
  if (there !== undefined) return there;
  createPrivateFile(file, renderSigningJwks([await makeSigningJwk()]));
  return openSigningKey(file);
}

/** Loads the keys as `openSigningKey` does. Returns undefined if the file does not exist, and creates nothing. */
export async function findSigningKey(file: string): Promise<SigningKey | undefined> {
  const jwks = await readSigningJwks(file);
  if (jwks === undefined) return undefined;
  const [first, ...older] = await Promise.all(jwks.map((jwk) => loadSigningKey(jwk)));
  return first && { ...first, older };
}

/** Builds the signing key from a private JWK (EC P-256). */
export async function loadSigningKey(jwk: JWK | SigningJwk): Promise<SigningKey> {
  const { kty, crv, x, y, d, kid } = await parseSigningJwk(jwk);
  return {
    kid,
    privateKey: await importEs256({ kty, crv, x, y, d }),
    publicKey: await importEs256({ kty, crv, x, y }),
    publicJwk: { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' },
    cursorKey: deriveKey(d, 'cpis-fhir search cursor'),
    sealKey: deriveKey(d, 'cpis-fhir subscription header'),
    bindingKey: deriveKey(d, 'cpis-fhir websocket binding'),
    older: [],
  };
}

function deriveKey(secret: string, purpose: string): Buffer {
  return Buffer.from(hkdfSync('sha256', Buffer.from(secret, 'base64url'), '', purpose, 32));
}

async function importEs256(jwk: JWK): Promise<CryptoKey> {
  const key = await importJWK(jwk, 'ES256');
  if (key instanceof Uint8Array) throw new TypeError('The signing key must be asymmetric.');
  return key;
}
