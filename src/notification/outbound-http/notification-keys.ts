import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { calculateJwkThumbprint, type JWK } from 'jose';
import { createPrivateFile, replacePrivateFile } from '../../files/private-file.ts';

/** The Ed25519 keys that notifications are signed with: one, or several while one takes the place of another. */
export interface NotificationKeys {
  readonly privateKeys: readonly KeyObject[];
  /** What `/.well-known/notification-keys.json` answers: a JWK Set (RFC 7517, RFC 8037) of the public halves. */
  readonly publicJwks: { readonly keys: readonly JWK[] };
}

/** Each costs every notification a signature. */
const maxKeys = 4;

const describeFile = (file: string): string =>
  `The notification key file ${file} does not hold a JWK Set of one to ${maxKeys} private Ed25519 keys`;

/**
 * Loads the JWK Set of private Ed25519 keys of a file; makes the file, with one key and readable by its owner only, when it
 * is not there. Several processes that start at once end with the same key. Throws when the file holds anything else.
 */
export async function openNotificationKeys(file: string): Promise<NotificationKeys> {
  const there = readJwks(file);
  if (there !== undefined) return load(there, file);
  createPrivateFile(file, renderJwks([makeJwk()]));
  return load(readJwks(file) ?? [], file);
}

/**
 * Puts a new key before those of the file, or makes the file. All of them sign until the old ones are taken out, with
 * `dropOld`: then the newest alone is kept and none is made. Throws as `openNotificationKeys` does, and when there are
 * too many.
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

/** Undefined: there is no such file. */
function readJwks(file: string): JWK[] | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    const { keys } = JSON.parse(text);
    if (Array.isArray(keys)) return keys;
  } catch {
    // Told below, without what the file holds.
  }
  throw new Error(describeFile(file));
}

async function load(jwks: readonly JWK[], file: string): Promise<NotificationKeys> {
  if (jwks.length === 0 || jwks.length > maxKeys) throw new Error(describeFile(file));
  try {
    const privateKeys = jwks.map(({ kty, crv, x, d }) => {
      if (kty !== 'OKP' || crv !== 'Ed25519' || x === undefined || d === undefined)
        throw new TypeError('not a private Ed25519 key');
      return createPrivateKey({ key: { kty, crv, x, d }, format: 'jwk' });
    });
    return { privateKeys, publicJwks: { keys: await Promise.all(privateKeys.map(publish)) } };
  } catch {
    throw new Error(describeFile(file));
  }
}

/** The public half is made from the private one: what the file says of it is not believed. */
async function publish(privateKey: KeyObject): Promise<JWK & { readonly whpk: string }> {
  const { x = '' } = createPublicKey(privateKey).export({ format: 'jwk' });
  const jwk = { kty: 'OKP', crv: 'Ed25519', x };
  const serialised = `whpk_${Buffer.from(x, 'base64url').toString('base64')}`;
  return { ...jwk, kid: await calculateJwkThumbprint(jwk), alg: 'EdDSA', use: 'sig', whpk: serialised };
}
