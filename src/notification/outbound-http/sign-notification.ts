/**
 * Signs notifications by Standard Webhooks 1.0:
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac, type KeyObject, sign } from 'node:crypto';

/** The id of a notification, and the secrets that sign it. */
export interface Signing {
  /** `webhook-id`: the FHIR id of the event or message, the same for every attempt. */
  readonly id: string;
  /** The HMAC secrets of the client, 24 to 64 bytes each; two during a rotation. */
  readonly secrets: readonly Uint8Array[];
  /** The Organization.id of the authority that the notification is for. */
  readonly recipient?: string;
}

/** Returns the headers that sign `body`, a flat list of names and values. */
export type SignNotification = (signing: Signing, body: string) => readonly string[];

/** Returns the bytes to sign: id, time in seconds and body, separated by full stops. */
export function signedContent(id: string, timestamp: string, body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${id}.${timestamp}.`), body]);
}

/**
 * Returns the bytes that `webhook-recipient-signature` signs: the recipient on a line of its own, which no id can contain, and the content. So
 * no recipient can pass a notification off as one for another.
 */
export function contentFor(recipient: string, content: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`to ${recipient}\n`), content]);
}

/** Returns the HMAC-SHA256 of scheme `v1`. */
export function hmacOf(content: Uint8Array, secret: Uint8Array): Buffer {
  return createHmac('sha256', secret).update(content).digest();
}

/**
 * Signs with every Ed25519 key (`v1a`) and every secret of the client (`v1`), so that a receiver that has one of them can
 * verify. The keys also sign the recipient, in a header of its own that the standard does not know. `now` returns epoch milliseconds and is called at each attempt.
 */
export function buildSignNotification(keys: readonly KeyObject[], now: () => number): SignNotification {
  return ({ id, secrets, recipient }, body) => {
    const timestamp = String(Math.floor(now() / 1000));
    const content = signedContent(id, timestamp, Buffer.from(body, 'utf8'));
    const signatures = [
      ...keys.map((key) => `v1a,${sign(null, content, key).toString('base64')}`),
      ...secrets.map((secret) => `v1,${hmacOf(content, secret).toString('base64')}`),
    ];
    const standard = ['webhook-id', id, 'webhook-timestamp', timestamp, 'webhook-signature', signatures.join(' ')];
    if (recipient === undefined) return standard;
    const addressed = contentFor(recipient, content);
    const forRecipient = keys.map((key) => `v1a,${sign(null, addressed, key).toString('base64')}`);
    return [...standard, 'webhook-recipient', recipient, 'webhook-recipient-signature', forRecipient.join(' ')];
  };
}
