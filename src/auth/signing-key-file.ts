/** The file of the signing keys: a JWK Set of private EC P-256 keys, or one of them alone, as earlier versions wrote it. */
import { createPrivateKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { calculateJwkThumbprint } from 'jose';
import { requirePrivate, UnusableFileError } from '../files/exposure.ts';

/** A private EC P-256 key. `kid` is its RFC 7638 thumbprint, whatever the file says. */
export interface SigningJwk {
  readonly kty: 'EC';
  readonly crv: 'P-256';
  readonly x: string;
  readonly y: string;
  readonly d: string;
  readonly kid: string;
  /** When it was made, in epoch seconds; undefined for keys of earlier versions. */
  readonly iat?: number;
}

/** Makes a new key. */
export async function makeSigningJwk(): Promise<SigningJwk> {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return parseSigningJwk({ ...privateKey.export({ format: 'jwk' }), iat: Math.floor(Date.now() / 1000) });
}

export function renderSigningJwks(keys: readonly SigningJwk[]): string {
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

/** Reads the keys of a file; undefined if there is no such file. Rejects if it holds anything else, or if it is exposed. */
export async function readSigningJwks(file: string): Promise<readonly SigningJwk[] | undefined> {
  let text: string;
  try {
    requirePrivate(file);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const parsed: unknown = JSON.parse(text);
    const isSet = typeof parsed === 'object' && parsed !== null && 'keys' in parsed && Array.isArray(parsed.keys);
    const keys = await Promise.all((isSet ? (parsed.keys as unknown[]) : [parsed]).map(parseSigningJwk));
    if (keys.length > 0 && new Set(keys.map(({ kid }) => kid)).size === keys.length) return keys;
  } catch {
    // Reported below, without the content of the file.
  }
  throw new UnusableFileError(
    `The signing key file ${file} does not hold a private EC P-256 key as a JWK, or a JWK Set of different ones.`,
  );
}

/** Checks a private JWK. Rejects with TypeError if it is no private EC P-256 key. */
export async function parseSigningJwk(jwk: unknown): Promise<SigningJwk> {
  const { kty, crv, x, y, d, iat } = (jwk ?? {}) as Readonly<Record<string, unknown>>;
  if (kty !== 'EC' || crv !== 'P-256' || typeof x !== 'string' || typeof y !== 'string' || typeof d !== 'string') {
    throw new TypeError('The signing key must be a private EC P-256 key.');
  }
  createPrivateKey({ key: { kty, crv, x, y, d }, format: 'jwk' });
  const kid = await calculateJwkThumbprint({ kty, crv, x, y });
  return { kty, crv, x, y, d, kid, ...(typeof iat === 'number' ? { iat } : {}) };
}
