import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { requirePrivate, UnusableFileError } from '../../files/exposure.ts';
import { createPrivateFile, replacePrivateFile } from '../../files/private-file.ts';

/** The Ed25519 keys that sign notifications: one, or several during a rotation. */
export interface NotificationKeys {
  readonly privateKeys: readonly KeyObject[];
  /** The response of `/.well-known/notification-keys.json`: a JWK Set (RFC 7517, RFC 8037) of the public keys. */
  readonly publicJwks: { readonly keys: readonly JWK[] };
}

/** Maximum keys in the file, because each adds a signature to every notification. */
const maxKeys = 4;

const describeFile = (file: string): string =>
  `The notification key file ${file} does not hold a JWK Set of one to ${maxKeys} private Ed25519 keys`;

/**
 * Loads the JWK Set of private Ed25519 keys from a file. If there is no file, creates it with one key, readable by its
 * owner only. Several processes that start together use the same key. Rejects if the file holds anything else.
 */
export async function openNotificationKeys(file: string): Promise<NotificationKeys> {
  const there = readJwks(file);
  if (there !== undefined) return load(there, file);
  createPrivateFile(file, renderJwks([makeJwk()]));
  return load(readJwks(file) ?? [], file);
}

/**
 * Adds a new key to the file, as the first, or creates the file. All keys sign until the old ones are removed with
 * `dropOld`, which keeps the newest and adds none. Rejects as `openNotificationKeys` does, and if there are too many
 * keys.
 */
export async function rotateNotificationKeys(file: string, { dropOld = false } = {}): Promise<NotificationKeys> {
  const there = readJwks(file) ?? [];
  if (there.length > 0) await load(there, file);
  const next = dropOld ? there.slice(0, 1) : [makeJwk(), ...there];
  const loaded = await load(next, file);
  replacePrivateFile(file, renderJwks(next));
  return loaded;
}

function makeJwk(): JWK {
  const { kty, crv, x, d } = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
  return { kty, crv, x, d } as JWK;
}

function renderJwks(keys: readonly JWK[]): string {
  return `${JSON.stringify({ keys }, undefined, 2)}\n`;
}

/** Returns undefined if there is no such file. */
function readJwks(file: string): JWK[] | undefined {
  let text: string;
  try {
    requirePrivate(file);
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { keys } = JSON.parse(text);
    if (Array.isArray(keys)) return keys;
  } catch {
    // Reported below, without the content of the file.
  }
  throw new UnusableFileError(describeFile(file));
}

async function load(jwks: readonly JWK[], file: string): Promise<NotificationKeys> {
  if (jwks.length === 0 || jwks.length > maxKeys) throw new UnusableFileError(describeFile(file));
  try {
    const privateKeys = jwks.map(({ kty, crv, x, d }) => {
      if (kty !== 'OKP' || crv !== 'Ed25519' || x === undefined || d === undefined)
        throw new TypeError('not a private Ed25519 key');
      return createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' });
    });
    return { privateKeys, publicJwks: { keys: await Promise.all(privateKeys.map(publish)) } };
  } catch {
    throw new UnusableFileError(describeFile(file));
  }
}

/** Derives the public key from the private one, and ignores the one in the file. */
async function publish(privateKey: KeyObject): Promise<JWK & { readonly whpk: string }> {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const jwk = { kty: 'OKP', crv: 'Ed25519', x };
  const serialised = `whpk_${Buffer.from(x, 'base64url').toString('base64')}`;
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'EdDSA', use: 'sig', whpk: serialised };
}
