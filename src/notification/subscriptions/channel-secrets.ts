/**
 * Protects `channel.header` at rest: values are encrypted with AES-256-GCM, bound to their Subscription and header
 * name.
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { membersOf } from '../../fhir/any-json.ts';
import { fault } from '../../fhir/fault.ts';
import { redactedValue } from './channel-header.ts';

/** The keys of header values: the first seals, and all of them open. */
export type SealKeys = readonly Uint8Array[];

const prefix = 'sealed:v1:';
const ivBytes = 12;
const tagBytes = 16;

/** Splits a header. The value keeps everything after the colon, so that it is sent exactly as received. */
function partsOf(header: string): readonly [name: string, value: string] {
  const colon = header.indexOf(':');
  return colon < 0 ? [header, ''] : [header.slice(0, colon), header.slice(colon + 1)];
}

function seal(value: string, context: string, key: Uint8Array): string {
  const iv = randomBytes(ivBytes);
  const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context));
  const sealed = Buffer.concat([iv, cipher.update(value, 'utf8'), cipher.final(), cipher.getAuthTag()]);
  return `${prefix}${sealed.toString('base64url')}`;
}

/** Returns the plain value; undefined if it was not sealed with this key for this context. */
function unseal(value: string, context: string, key: Uint8Array): string | undefined {
  if (!value.startsWith(prefix)) return undefined;
  const sealed = Buffer.from(value.slice(prefix.length), 'base64url');
  if (sealed.length < ivBytes + tagBytes) return undefined;
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, ivBytes), { authTagLength: tagBytes });
    decipher.setAAD(Buffer.from(context)).setAuthTag(sealed.subarray(-tagBytes));
    return decipher.update(sealed.subarray(ivBytes, -tagBytes), undefined, 'utf8') + decipher.final('utf8');
  } catch {
    return undefined;
  }
}

function unsealWithAny(value: string, context: string, keys: SealKeys): string | undefined {
  for (const key of keys) {
    const plain = unseal(value, context, key);
    if (plain !== undefined) return plain;
  }
  return undefined;
}

function firstOf(keys: SealKeys): Uint8Array {
  const [key] = keys;
  if (key === undefined) throw new TypeError('There is no key to seal with.');
  return key;
}

function mapHeaders(resource: unknown, change: (header: string, context: string, position: number) => string): unknown {
  const subscription = membersOf(resource);
  const channel = membersOf(subscription['channel']);
  if (!Array.isArray(channel['header'])) return resource;
  const header = channel['header'].map((text: unknown, position: number) => {
    const whole = typeof text === 'string' ? text : '';
    return change(whole, `${String(subscription['id'])}/${partsOf(whole)[0].toLowerCase()}`, position);
  });
  return { ...subscription, channel: { ...channel, header } };
}

/**
 * Returns a Subscription as it is stored, with header values sealed; its `id` must be set. A value that is sent back
 * redacted keeps the stored value of that name if the endpoint is unchanged; otherwise throws FhirFault
 * `unprocessable`. The first of `keys` seals; each has 32 bytes. Never disclose the result.
 */
export function protectSubscription(resource: unknown, stored: string | undefined, keys: SealKeys): unknown {
  const before = stored === undefined ? {} : membersOf(membersOf(JSON.parse(stored))['channel']);
  const sameEndpoint = before['endpoint'] === membersOf(membersOf(resource)['channel'])['endpoint'];
  const kept: readonly string[] = sameEndpoint && Array.isArray(before['header']) ? before['header'] : [];
  return mapHeaders(resource, (header, context, position) => {
    const [name, value] = partsOf(header);
    if (!header.includes(':')) return header;
    if (value.trim() !== redactedValue) return `${name}: ${seal(value, context, firstOf(keys))}`;
    const same = kept.find((text) => partsOf(text)[0].toLowerCase() === name.toLowerCase());
    if (same !== undefined) return `${name}:${partsOf(same)[1]}`;
    throw fault(
      'unprocessable',
      'The header value is redacted and no stored value belongs to it. Send the value itself.',
      {
        expression: [`Subscription.channel.header[${position}]`],
      },
    );
  });
}

/**
 * Returns a stored Subscription with its header values in plain text. A value that cannot be decrypted leaves no valid
 * header.
 */
export function revealSubscription(resource: unknown, keys: SealKeys): unknown {
  return mapHeaders(resource, (header, context) => {
    const [name, value] = partsOf(header);
    const plain = unsealWithAny(value.trim(), context, keys);
    return plain === undefined ? '' : `${name}:${plain}`;
  });
}

/** Returns whether each sealed header value of a stored Subscription can be decrypted with one of the keys. */
export function canReveal(resource: unknown, keys: SealKeys): boolean {
  let all = true;
  mapHeaders(resource, (header, context) => {
    const value = partsOf(header)[1].trim();
    if (value.startsWith(prefix) && unsealWithAny(value, context, keys) === undefined) all = false;
    return header;
  });
  return all;
}

/**
 * Returns a stored Subscription with its header values sealed by the first key, or undefined if they are already. A value
 * that cannot be decrypted stays as it is.
 */
export function resealSubscription(resource: unknown, keys: SealKeys): unknown {
  let changed = false;
  const resealed = mapHeaders(resource, (header, context) => {
    const [name, value] = partsOf(header);
    const isCurrent = unseal(value.trim(), context, firstOf(keys)) !== undefined;
    const plain = isCurrent ? undefined : unsealWithAny(value.trim(), context, keys);
    if (plain === undefined) return header;
    changed = true;
    return `${name}: ${seal(plain, context, firstOf(keys))}`;
  });
  return changed ? resealed : undefined;
}
