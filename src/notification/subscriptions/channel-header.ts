/** Parses `Subscription.channel.header`: strings `Name: value` that are sent verbatim with each notification. */

/** Headers of the connection or of this server. A subscriber must not set them. */
const reserved = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'date',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'via',
]);
const longestHeader = 8_192;
/** Maximum headers of one channel. */
export const maxHeaders = 16;

/** Replaces a header value when a Subscription is read. */
export const redactedValue = '[redacted]';

export type ParsedHeader = readonly [name: string, value: string];

/**
 * Splits one header into name and value, or returns a text that says why it cannot be sent. RFC 9110 5.5: a token, then
 * visible ASCII, space and tab.
 */
export function parseChannelHeader(header: unknown): ParsedHeader | string {
  if (typeof header !== 'string' || header.length > longestHeader) return 'is not a text of at most 8192 characters';
  const parts = /^([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([!-~](?:[ \t!-~]*[!-~])?)?$/.exec(header);
  if (parts === null) return 'is not of the form "Name: value" in printable ASCII';
  const [, name = '', value = ''] = parts;
  const lower = name.toLowerCase();
  if (reserved.has(lower) || lower.startsWith('proxy-') || lower.startsWith('webhook-'))
    return 'names a header that a subscriber may not set';
  return [name, value];
}

/** Returns the header as it is shown on read: its name, with the value replaced. */
export function redactHeader(header: string): string {
  const colon = header.indexOf(':');
  return colon < 0 ? redactedValue : `${header.slice(0, colon)}: ${redactedValue}`;
}
