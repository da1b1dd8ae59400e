import { isIPv4, isIPv6 } from 'node:net';

/**
 * Returns an IP address in its one canonical form, an IPv4 address that is mapped into IPv6 as IPv4. Returns undefined for
 * any other text, a zone included.
 */
export function parseAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  const address = new URL(`http://[${text}]`).hostname.slice(1, -1);
  const [, high, low] = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address) ?? [];
  if (high === undefined || low === undefined) return address;
  const bytes = [high, low].flatMap((part) => [Number.parseInt(part, 16) >> 8, Number.parseInt(part, 16) & 0xff]);
  return bytes.join('.');
}

/**
 * Returns the network of an address, as every limit counts it: the 64-bit prefix of an IPv6 address, because one client can
 * use all of it; any other address as it is.
 */
export function networkOf(address: string): string {
  const parsed = parseAddress(address);
  if (parsed === undefined || !parsed.includes(':')) return parsed ?? address;
  const [head = '', tail] = parsed.split('::');
  const left = head === '' ? [] : head.split(':');
  const right = tail === undefined || tail === '' ? [] : tail.split(':');
  const zeros = new Array<string>(8 - left.length - right.length).fill('0');
  return `${[...left, ...(tail === undefined ? [] : zeros), ...right].slice(0, 4).join(':')}::/64`;
}
