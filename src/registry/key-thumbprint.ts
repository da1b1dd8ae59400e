import { createHash } from 'node:crypto';
import type { JsonWebKeyRecord } from './registry.ts';

const known = new WeakMap<JsonWebKeyRecord, string>();

/** Returns the SHA-256 thumbprint of a public RSA or EC key (RFC 7638). It does not change with `kid` or `alg`. */
export function keyThumbprint(key: JsonWebKeyRecord): string {
  const thumbprint = known.get(key) ?? hashOf(key);
  known.set(key, thumbprint);
  return thumbprint;
}

function hashOf({ kty, crv, x, y, e, n }: JsonWebKeyRecord): string {
  const members = kty === 'EC' ? { crv, kty, x, y } : { e, kty, n };
  return createHash('sha256').update(JSON.stringify(members)).digest('base64url');
}
