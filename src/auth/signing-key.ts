import { generateKeyPairSync, hkdfSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { type CryptoKey, calculateJwkThumbprint, importJWK, type JWK } from 'jose';
import { requirePrivate } from '../files/exposure.ts';
import { createPrivateFile } from '../files/private-file.ts';

/** The server's ES256 key for access tokens. */
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
}

/**
 * Loads the private JWK (EC P-256) in a file. Creates the file, readable by its owner only, if it does not exist.
 * Processes that start at the same time all load the same key. Rejects if the file holds anything else.
 */
export async function openSigningKey(file: string): Promise<SigningKey> {
  let text: string;
  try {
    requirePrivate(file);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    createPrivateFile(file, `${JSON.stringify(privateKey.export({ format: 'jwk' }))}\n`);
    text = readFileSync(file, 'utf8');
  }
  try {
    return await loadSigningKey(JSON.parse(text));
  } catch {
    throw new Error(`The signing key file ${file} does not hold a private EC P-256 key as a JWK.`);
  }
}

/** Builds the signing key from a private JWK (EC P-256). */
export async function loadSigningKey(jwk: JWK): Promise<SigningKey> {
  const { kty, crv, x, y, d } = jwk;
  if (kty !== 'EC' || crv !== 'P-256' || x === undefined || y === undefined || typeof d !== 'string') {
    throw new TypeError('The signing key must be a private EC P-256 key.');
  }
  const kid = await calculateJwkThumbprint({ kty, crv, x, y });
  const publicJwk = { kty, crv, x, y, kid, alg: 'ES256', use: 'sig' };
  return {
    kid,
    privateKey: await importEs256({ kty, crv, x, y, d }),
    publicKey: await importEs256({ kty, crv, x, y }),
    publicJwk,
    cursorKey: deriveKey(d, 'cpis-fhir search cursor'),
    sealKey: deriveKey(d, 'cpis-fhir subscription header'),
    bindingKey: deriveKey(d, 'cpis-fhir websocket binding'),
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

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
