/** Tokens that bind a WebSocket to Subscriptions: signed, short-lived, used once. */
import { createHmac, timingSafeEqual } from 'node:crypto';

/** What a token stands for. */
export interface Binding {
  /** Id of the authority. */
  readonly owner: string;
  readonly clientId: string;
  readonly subscriptionIds: readonly string[];
  readonly expiresAtMs: number;
  /** Unguessable: the key under which the token is used up. */
  readonly nonce: string;
}

function macOf(payload: string, key: Uint8Array): Buffer {
  return createHmac('sha256', key).update(`cpis-ws-binding-v1.${payload}`).digest();
}

/** `key` has 32 bytes. */
export function renderBindingToken(binding: Binding, key: Uint8Array): string {
  const payload = Buffer.from(JSON.stringify(binding)).toString('base64url');
  return `${payload}.${macOf(payload, key).toString('base64url')}`;
}

/** Undefined: not made with this key, or expired. It is for the caller to see that it is used once. */
export function parseBindingToken(token: string, key: Uint8Array, nowMs: number): Binding | undefined {
  const [payload = '', mac = '', ...rest] = token.split('.');
  const expected = macOf(payload, key);
  const given = Buffer.from(mac, 'base64url');
  if (rest.length > 0 || given.length !== expected.length || !timingSafeEqual(given, expected)) return undefined;
  const binding: Binding = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8'));
  return binding.expiresAtMs > nowMs ? binding : undefined;
}
