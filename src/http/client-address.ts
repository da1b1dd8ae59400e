/** Finds the address of the client behind reverse proxies. Whatever is not an address is never taken for one. */
import type { IncomingMessage } from 'node:http';
import { BlockList } from 'node:net';
import { parseAddress } from '../net/address.ts';

/** The header in which the trusted proxies name their clients. */
type ForwardedHeader = 'x-forwarded-for' | 'forwarded';

export interface ForwardingOptions {
  /** Addresses or CIDR blocks of the proxies. */
  readonly trustedProxies: readonly string[];
  /** Default: X-Forwarded-For, or Forwarded in a request without it. */
  readonly header?: ForwardedHeader | undefined;
}

const unknownAddress = '0.0.0.0';
const nodeWithPort = /^(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::(?:(\d{1,5})|_[A-Za-z0-9._-]+))?$/;
const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const forwardedPair = new RegExp(`^\\s*(${token})=(?:(${token})|"((?:[^"\\\\]|\\\\.)*)")\\s*$`);

/**
 * Builds the function that returns the address of the client of a request, in canonical form: the nearest address in the
 * header that is no trusted proxy. It is the address of the connection unless that is a trusted proxy and every entry up
 * to the client's is an address; `unknown` and obfuscated identifiers (RFC 7239) are none.
 */
export function buildClientAddress({
  trustedProxies,
  header,
}: ForwardingOptions): (request: IncomingMessage) => string {
  const trusted = buildTrusted(trustedProxies);
  return (request) => {
    const peer = parseAddress((request.socket.remoteAddress ?? '').replace(/%.*$/, '')) ?? unknownAddress;
    if (!trusted(peer)) return peer;
    let client = peer;
    for (const node of readNodes(request, header)) {
      const address = node === undefined ? undefined : parseNode(node);
      if (address === undefined) return peer;
      client = address;
      if (!trusted(address)) break;
    }
    return client;
  };
}

/** Builds the function that tells whether a canonical address is one of the proxies. */
export function buildTrusted(proxies: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const proxy of proxies) {
    const [address = '', prefix] = proxy.split('/');
    const parsed = parseAddress(address) ?? address;
    const family = parsed.includes(':') ? 'ipv6' : 'ipv4';
    if (prefix === undefined) list.addAddress(parsed, family);
    else list.addSubnet(parsed, Number(prefix), family);
  }
  return proxies.length === 0 ? () => false : (address) => list.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}

/** Returns the entries of the header from the last, which the nearest proxy wrote, to the first. */
function* readNodes({ headers }: IncomingMessage, only: ForwardedHeader | undefined): Iterable<string | undefined> {
  const name = only ?? (headers['x-forwarded-for'] === undefined ? 'forwarded' : 'x-forwarded-for');
  const value = headers[name];
  if (value === undefined) return;
  // No entry holds a comma, so an open quote that a client sent cannot swallow what a proxy appended.
  const entries = String(value).split(',');
  for (const entry of entries.reverse()) yield name === 'forwarded' ? readFor(entry) : entry.trim();
}

/** Returns the only `for` of an entry of Forwarded. */
function readFor(entry: string): string | undefined {
  let found: string | undefined;
  for (const text of entry.split(';')) {
    const [, name, plain, quoted] = forwardedPair.exec(text) ?? [];
    if (name === undefined) return undefined;
    if (name.toLowerCase() !== 'for') continue;
    if (found !== undefined) return undefined;
    found = plain ?? quoted;
  }
  return found;
}

/** Reads an address, with a port or not: `203.0.113.7`, `203.0.113.7:443`, `2001:db8::1`, `[2001:db8::1]:443`. */
function parseNode(node: string): string | undefined {
  const [, ipv6, ipv4, port = '0'] = nodeWithPort.exec(node) ?? [];
  return Number(port) > 65_535 ? undefined : parseAddress(ipv6 ?? ipv4 ?? node);
}
