import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { redactedValue } from './channel-header.ts';

const mark = 'sealed.v1.';

function split(header: string): [name: string, value: string] {
  const colon = header.indexOf(':');
  return colon < 0 ? [header, ''] : [header.slice(0, colon), header.slice(colon + 1).trim()];
}

/** One `channel.header` with its value encrypted (AES-256-GCM, bound to the name); `key` has 32 bytes. */
export function sealHeader(header: string, key: Uint8Array): string {
  const [name, value] = split(header);
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(name.toLowerCase()));
  const text = Buffer.concat([nonce, cipher.update(value, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${name}: ${mark}${text.toString('base64url')}`;
}

/** The header as the client sent it. Throws when it was sealed with another key or changed. */
export function unsealHeader(header: string, key: Uint8Array): string {
  const [name, value] = split(header);
  if (!value.startsWith(mark)) return header;
  const text = Buffer.from(value.slice(mark.length), 'base64url');
  const decipher = createDecipheriv('aes-256-gcm', key, text.subarray(0, 12)).setAAD(Buffer.from(name.toLowerCase()));
  decipher.setAuthTag(text.subarray(-16));
  return `${name}: ${Buffer.concat([decipher.update(text.subarray(12, -16)), decipher.final()]).toString('utf8')}`;
}

interface WithChannel {
  readonly channel?: { readonly header?: readonly unknown[] };
}

function mapHeaders<T>(resource: T, change: (header: string, index: number) => string): T {
  const channel = (resource as WithChannel)?.channel;
  if (!Array.isArray(channel?.header)) return resource;
  const header = channel.header.map((text, index) => (typeof text === 'string' ? change(text, index) : text));
  return { ...resource, channel: { ...channel, header } };
}

/**
 * A Subscription with its headers sealed for storage. A header whose value is the text that replaces it on read keeps
 * the stored secret of the header with its name, so that a client may send back what it has read.
 */
export function sealHeaders(resource: unknown, stored: string | undefined, key: Uint8Array): unknown {
  const kept = new Map<string, string>();
  for (const header of stored === undefined ? [] : ((JSON.parse(stored) as WithChannel).channel?.header ?? [])) {
    if (typeof header === 'string') kept.set(split(header)[0].toLowerCase(), header);
  }
  return mapHeaders(resource, (header) => {
    const [name, value] = split(header);
    const known = value === redactedValue ? kept.get(name.toLowerCase()) : undefined;
    return known ?? sealHeader(header, key);
  });
}

/** A stored Subscription with its headers as they are to be sent. */
export function unsealHeaders<T>(resource: T, key: Uint8Array): T {
  return mapHeaders(resource, (header) => unsealHeader(header, key));
}
