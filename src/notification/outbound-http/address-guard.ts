/**
 * Keeps notifications away from this server's own networks (SSRF). An endpoint is checked when it is registered. Every
 * address is checked again when connecting, in the resolver that the connection itself uses, so that only a checked
 * address can be connected to.
 */
import type { LookupAddress } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { isBlockedAddress, isLoopbackAddress } from './blocked-address.ts';

/**
 * Returns all addresses of a host name. Rejects if there are none. `dns.promises.lookup(name, { all: true })` is of
 * this form.
 */
export type ResolveHost = (hostname: string) => Promise<readonly LookupAddress[]>;

export interface EndpointPolicy {
  /** Exact origins (`https://host[:port]`), as registered by the operator. */
  readonly allowedOrigins: readonly string[];
  /** For demonstrations and tests: allows loopback addresses, also with plain http. Nothing else changes. */
  readonly allowLoopback: boolean;
}

/** Why an endpoint is refused, in the words of an OperationOutcome and without any value of the endpoint. */
export type EndpointRefusal =
  | 'not an absolute http(s) URL'
  | 'not https'
  | 'a URL with user information'
  | 'a URL with a fragment'
  | 'on a port that is not for web services'
  | 'not at one of the origins registered for this client'
  | 'at an address that is not public';

/** The ports of https://fetch.spec.whatwg.org/#bad-port from 1024 on, and those of common data stores. */
const refusedPorts = new Set([
  1433, 1521, 1719, 1720, 1723, 2049, 2375, 2376, 2379, 2380, 3306, 3389, 3659, 4045, 4190, 5060, 5061, 5432, 5900,
  5984, 6000, 6379, 6443, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 7001, 9042, 9200, 9300, 10080, 10250, 11211,
  27017,
]);

const bareHost = (hostname: string): string => (hostname.startsWith('[') ? hostname.slice(1, -1) : hostname);

function isLocalName(hostname: string): boolean {
  const name = hostname.replace(/\.+$/, '').toLowerCase();
  return name === 'localhost' || name.endsWith('.localhost');
}

function isRefusedPort(url: URL): boolean {
  if (url.port === '') return false;
  const port = Number(url.port);
  return port !== 443 && port !== 80 && (port < 1024 || refusedPorts.has(port));
}

/** Checks the endpoint of a Subscription without resolving its name. Returns undefined if it may be used. */
export function checkEndpoint(endpoint: unknown, policy: EndpointPolicy): EndpointRefusal | undefined {
  // The URL parser silently drops tabs and line ends and reads a backslash as a slash: refuse all of them.
  if (typeof endpoint !== 'string' || !/^https?:\/\/[!-[\]-~]+$/i.test(endpoint)) return 'not an absolute http(s) URL';
  const url = URL.canParse(endpoint) ? new URL(endpoint) : undefined;
  if (url === undefined) return 'not an absolute http(s) URL';
  const host = bareHost(url.hostname);
  const local = isLoopbackAddress(host) || isLocalName(host);
  if (url.protocol !== 'https:' && !(policy.allowLoopback && local)) return 'not https';
  const [authority = ''] = endpoint.slice(endpoint.indexOf('//') + 2).split(/[/?#]/);
  if (authority.includes('@')) return 'a URL with user information';
  if (endpoint.includes('#')) return 'a URL with a fragment';
  if (isRefusedPort(url)) return 'on a port that is not for web services';
  if (isIP(host) !== 0 ? isBlockedAddress(host, policy.allowLoopback) : isLocalName(host) && !policy.allowLoopback) {
    return 'at an address that is not public';
  }
  if (!policy.allowedOrigins.includes(url.origin)) return 'not at one of the origins registered for this client';
  return undefined;
}

/** Thrown instead of connecting, because an address of the host is blocked. */
export class RefusedAddress extends Error {
  readonly code = 'CPIS_REFUSED_ADDRESS';
  constructor() {
    super('the address of the endpoint is blocked');
    this.name = 'RefusedAddress';
  }
}

/**
 * Returns the addresses of a host after checking all of them. One blocked address refuses the host, because the next
 * connection could use that one. Rejects with RefusedAddress, or as `resolve` does.
 */
export async function resolveChecked(
  hostname: string,
  resolve: ResolveHost,
  allowLoopback: boolean,
): Promise<readonly LookupAddress[]> {
  const literal = bareHost(hostname);
  const version = isIP(literal);
  const addresses = version === 0 ? await resolve(hostname) : [{ address: literal, family: version }];
  if (addresses.length === 0) throw Object.assign(new Error('no address'), { code: 'ENOTFOUND' });
  if (addresses.some(({ address }) => isBlockedAddress(address, allowLoopback))) throw new RefusedAddress();
  return addresses;
}

export interface GuardOptions {
  readonly resolve: ResolveHost;
  readonly allowLoopback: boolean;
  readonly connectTimeoutMs: number;
  /** Certificate authorities (PEM) instead of the bundled ones, and the client certificate with its key. */
  readonly ca?: string;
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Builds an undici connector that connects to checked addresses only, with TLS 1.2 or later, verified; http on loopback
 * only.
 */
export function guardedConnector(options: GuardOptions): buildConnector.connector {
  const { resolve, allowLoopback, connectTimeoutMs, ca, cert, key } = options;
  const lookup: LookupFunction = (hostname, { all }, callback) => {
    resolveChecked(hostname, resolve, allowLoopback).then(
      (addresses) => {
        const [first] = addresses;
        if (all === true) callback(null, [...addresses]);
        else callback(null, first?.address ?? '', first?.family);
      },
      (error: NodeJS.ErrnoException) => callback(error, ''),
    );
  };
  const connect = buildConnector({
    timeout: connectTimeoutMs,
    lookup,
    allowH2: false,
    rejectUnauthorized: true,
    minVersion: 'TLSv1.2',
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  return (target, callback) => {
    const host = bareHost(target.hostname);
    // `lookup` is not called for an IP literal.
    const blocked = isIP(host) !== 0 && isBlockedAddress(host, allowLoopback);
    const plain = target.protocol !== 'https:' && !(allowLoopback && (isLoopbackAddress(host) || isLocalName(host)));
    if (blocked || plain) {
      callback(new RefusedAddress(), null);
      return;
    }
    connect(target, (...result) => {
      // With TLS 1.3 an endpoint refuses a client certificate after the handshake. Report that error, not the closed
      // connection that follows.
      const [, socket] = result;
      socket?.once('error', () => socket.destroy());
      callback(...result);
    });
  };
}
