import { createPublicKey, type KeyObject, timingSafeEqual, verify } from 'node:crypto';
import { contentFor, hmacOf, signedContent } from './sign-notification.ts';

/** The keys of a receiver: the sender's public keys, its own secrets, or both. One matching signature is enough. */
export interface VerificationKeys {
  readonly publicKeys: readonly KeyObject[];
  readonly secrets: readonly Uint8Array[];
  /**
   * The receiver's own Organization.id. With it, a public key fits only
   * `webhook-recipient-signature`, which names it.
   */
  readonly recipient?: string | undefined;
}

export interface NotificationHeaders {
  readonly id: string | undefined;
  readonly timestamp: string | undefined;
  readonly signature: string | undefined;
  readonly recipient?: string | undefined;
  readonly recipientSignature?: string | undefined;
}

type Scheme = 'v1a' | 'v1';

export type Verification =
  /** `scheme` is that of the matching signature. */
  | { readonly kind: 'valid'; readonly scheme: Scheme; readonly sentMs: number }
  | { readonly kind: 'invalid'; readonly reason: string };

/** Maximum difference between the clocks of sender and receiver, as in the Standard Webhooks libraries. */
export const defaultToleranceMs = 5 * 60_000;

const maxSignatures = 16;

/**
 * Verifies a notification by Standard Webhooks. `body` are the bytes as received, `nowMs` the time of receipt.
 * `toleranceMs` may be infinite for a stored notification. The reason never repeats a value.
 */
export function verifyNotification(
  headers: NotificationHeaders,
  body: Uint8Array,
  keys: VerificationKeys,
  nowMs: number,
  toleranceMs = defaultToleranceMs,
): Verification {
  const { id, timestamp, signature } = headers;
  if (id === undefined || timestamp === undefined || signature === undefined) {
    return invalid('it is not signed: webhook-id, webhook-timestamp and webhook-signature are needed');
  }
  if (!/^[!-~]{1,256}$/.test(id) || !/^\d{1,12}$/.test(timestamp))
    return invalid('webhook-id or webhook-timestamp is malformed');
  const sentMs = Number(timestamp) * 1000;
  if (nowMs - sentMs > toleranceMs) return invalid('it was signed too long ago');
  if (sentMs - nowMs > toleranceMs) return invalid('it was signed in the future: compare the clocks');
  const content = signedContent(id, timestamp, body);
  const { publicKeys, secrets, recipient } = keys;
  const byStandard = recipient === undefined ? keys : { publicKeys: [], secrets };
  const scheme =
    fittingScheme(signature, content, byStandard) ??
    (recipient === undefined
      ? undefined
      : fittingScheme(headers.recipientSignature ?? '', contentFor(recipient, content), { publicKeys, secrets: [] }));
  if (scheme !== undefined) return { kind: 'valid', scheme, sentMs };
  if (recipient !== headers.recipient && recipient !== undefined) {
    return invalid('webhook-recipient does not name this receiver');
  }
  return invalid('no signature fits: body, id or time were changed, or the keys are others');
}

function invalid(reason: string): Verification {
  return { kind: 'invalid', reason };
}

function fittingScheme(signatures: string, content: Uint8Array, keys: VerificationKeys): Scheme | undefined {
  for (const each of signatures.split(' ').slice(0, maxSignatures)) {
    const scheme = schemeOf(each, content, keys);
    if (scheme !== undefined) return scheme;
  }
  return undefined;
}

function schemeOf(signature: string, content: Uint8Array, keys: VerificationKeys): Scheme | undefined {
  const [, scheme, base64 = ''] = /^(v1a?),([A-Za-z0-9+/]{1,200}={0,2})$/.exec(signature) ?? [];
  const given = Buffer.from(base64, 'base64');
  if (scheme === 'v1a') return keys.publicKeys.some((key) => verify(null, content, key, given)) ? scheme : undefined;
  if (scheme !== 'v1') return undefined;
  const fits = keys.secrets.some((secret) => {
    const wanted = hmacOf(content, secret);
    return given.length === wanted.length && timingSafeEqual(given, wanted);
  });
  return fits ? scheme : undefined;
}

/**
 * Returns the Ed25519 keys of a JWK Set as the server publishes it, and ignores other keys. Throws TypeError if there
 * is none.
 */
export function readPublicKeys(jwks: unknown): KeyObject[] {
  const { keys } = (jwks ?? {}) as { keys?: unknown };
  const found = (Array.isArray(keys) ? keys : []).flatMap((jwk: unknown) => {
    const { kty, crv, x } = (jwk ?? {}) as Record<string, unknown>;
    if (kty !== 'OKP' || crv !== 'Ed25519' || typeof x !== 'string') return [];
    try {
      return [createPublicKey({ key: { kty, crv, x }, format: 'jwk' })];
    } catch {
      return [];
    }
  });
  if (found.length === 0) throw new TypeError('there is no Ed25519 public key in the JWK Set');
  return found;
}
