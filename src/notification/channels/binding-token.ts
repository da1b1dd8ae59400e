/** Signs and reads the tokens that bind a WebSocket to Subscriptions: short-lived, used once. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Credential } from '../../cpis/caller.ts';

/** The content of a token. */
export interface Binding {
  /** The id of the authority. */
  readonly owner: string;
  readonly clientId: string;
  /** That of the access token with which it was requested: it is good as long as that would be, but for its time. */
  readonly credential: Credential;
  readonly subscriptionIds: readonly string[];
  readonly expiresAtMs: number;
  /** Unguessable. The token is recorded as used under this key. */
  readonly nonce: string;
}

function macOf(payload: string, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(`cpis-ws-binding-v1.${payload}`).digest();
}

/** Returns the signed token. `key` has 32 bytes. */
export function renderBindingToken(binding: Binding, key: Uint8Array): string {
  const payload = Buffer.from(JSON.stringify(binding)).toString('base64url');
  return `${payload}.${macOf(payload, key).toString('base64url')}`;
}

/**
 * Returns the content of a token; undefined if none of the keys signed it or it has expired. The caller must check that it is
 * used once.
 */
export function parseBindingToken(token: string, keys: readonly Uint8Array[], nowMs: number): Binding | undefined {
  const [payload = '', mac = '', ...rest] = token.split('.');
  const given = Buffer.from(mac, 'base64url');
  const isSigned = keys.some((key) => {
    const expected = macOf(payload, key);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  if (rest.length > 0 || !isSigned) return undefined;
  const binding: Binding = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  return binding.expiresAtMs > nowMs ? binding : undefined;
}
