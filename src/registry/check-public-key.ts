import { createPublicKey } from 'node:crypto';

/** Signature algorithms of client assertions (RFC 7518 section 3.1): one per key, named by the key itself. */
export const clientAlgorithms = ['RS384', 'ES384', 'RS512'] as const;

const privateMembers = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const minimumRsaBits = 2048;

/**
 * What makes a JWK unfit to verify a client's assertions, in words; undefined when nothing does. `kid`, `kty` and `alg`
 * have been checked by the schema.
 */
export function checkPublicKey(jwk: Readonly<Record<string, unknown>>): string | undefined {
  if (privateMembers.some((member) => Object.hasOwn(jwk, member))) {
    return 'holds a private or symmetric key; give the public key only, and replace the pair: it is not secret any more';
  }
  const alg = String(jwk['alg']);
  if ((jwk['kty'] === 'RSA') !== alg.startsWith('RS')) return 'has an alg that does not fit its kty';
  if (jwk['kty'] === 'EC' && jwk['crv'] !== 'P-384') return 'must be on P-384, the curve of ES384';
  const operations = jwk['key_ops'];
  if (operations !== undefined && !(Array.isArray(operations) && operations.every((each) => each === 'verify'))) {
    return 'has key_ops other than verify';
  }
  try {
    const key = createPublicKey({ key: { ...jwk }, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    if (bits !== undefined && bits < minimumRsaBits) return `must be an RSA key of at least ${minimumRsaBits} bits`;
    return undefined;
  } catch {
    return 'is not a public key that can be read';
  }
}
