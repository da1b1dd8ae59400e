import { createPublicKey } from 'node:crypto';

/** Signature algorithms of client assertions (RFC 7518 section 3.1). Each key names one of them. */
export const clientAlgorithms = ['RS384', 'ES384', 'RS512'] as const;

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const minRsaBits = 2048;

/**
 * Describes why a JWK cannot verify the assertions of a client; undefined if it can. The schema has checked `kid`,
 * `kty` and `alg`.
 */
export function checkPublicKey(jwk: Readonly<Record<string, unknown>>): string | undefined {
  if (privateMembers.some((member) => Object.hasOwn(jwk, member))) {
    return 'holds a private or symmetric key; give only the public key, and replace the key pair because it is no longer secret';
  }
  const alg = String(jwk['alg']);
  if ((jwk['kty'] === 'RSA') !== alg.startsWith('RS')) return 'has an alg that does not match its kty';
  if (jwk['kty'] === 'EC' && jwk['crv'] !== 'P-384') return 'must use the curve P-384, because its alg is ES384';
  const operations = jwk['key_ops'];
  if (operations !== undefined && !(Array.isArray(operations) && operations.every((each) => each === 'verify'))) {
    return 'must have no key_ops other than verify';
  }
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    if (bits !== undefined && bits < minRsaBits) return `must be an RSA key of at least ${minRsaBits} bits`;
    return undefined;
  } catch {
    return 'is not a readable public key';
  }
}
