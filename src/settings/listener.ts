import { isIP } from 'node:net';
import { checkUrl, isLoopbackHost } from './check-url.ts';

/** PEM files of the listener. */
export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
  /** Certificate authorities of client certificates; undefined: clients are asked for none. */
  readonly clientCaFile: string | undefined;
}

/** Where and how the server listens, and who it takes to be the client of a connection. */
export interface ListenerSettings {
  readonly basePath: string;
  readonly host: string;
  /** 0 selects a free port. */
  readonly port: number;
  /** Undefined if not set; `resolvePublicBaseUrl` then derives it from host and port. */
  readonly publicBaseUrl: string | undefined;
  /** Undefined for plain HTTP. */
  readonly tls: TlsFiles | undefined;
  readonly allowPlainHttp: boolean;
  /** Addresses or CIDR blocks of proxies that name their clients in a header. */
  readonly trustedProxies: readonly string[];
  /** The header; undefined: X-Forwarded-For, or Forwarded in a request without it. */
  readonly forwardedHeader: 'x-forwarded-for' | 'forwarded' | undefined;
}

/** Lists what is wrong with where and how the server listens. */
export function checkListener(settings: ListenerSettings): string[] {
  const problems: string[] = [];
  const { host, tls, allowPlainHttp } = settings;
  if (tls === undefined && !allowPlainHttp && !isLoopbackHost(host)) {
    problems.push(
      'CPIS_HOST: is not a loopback address, and tokens and plans would cross the network in the clear; set CPIS_TLS_CERT_FILE and CPIS_TLS_KEY_FILE, or CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP if only a TLS proxy can reach it',
    );
  }
  settings.trustedProxies.forEach((proxy, index) => {
    if (!isNetwork(proxy)) problems.push(`CPIS_TRUSTED_PROXIES: [${index}]: must be an IP address or a CIDR block`);
  });
  return [...problems, ...checkPublicBaseUrl(settings)];
}

function checkPublicBaseUrl({ host, basePath, publicBaseUrl, tls }: ListenerSettings): string[] {
  if (publicBaseUrl === undefined) {
    return isLoopbackHost(host)
      ? []
      : ['CPIS_PUBLIC_BASE_URL: is required because CPIS_HOST is not a loopback address'];
  }
  const problems: string[] = [];
  const problem = checkUrl(publicBaseUrl, true);
  if (problem !== undefined) problems.push(`CPIS_PUBLIC_BASE_URL: ${problem}`);
  else if (new URL(publicBaseUrl).href !== publicBaseUrl) {
    problems.push('CPIS_PUBLIC_BASE_URL: must be a normalised URL: lower-case host, no default port, no ./ or ../');
  } else if (tls !== undefined && !publicBaseUrl.startsWith('https:')) {
    problems.push('CPIS_PUBLIC_BASE_URL: must be an https URL because CPIS_TLS_CERT_FILE is set');
  }
  if (!publicBaseUrl.endsWith(basePath)) problems.push('CPIS_PUBLIC_BASE_URL: must end with CPIS_BASE_PATH');
  return problems;
}

function isNetwork(text: string): boolean {
  const [address = '', prefix, more] = text.split('/');
  const version = isIP(address);
  if (version === 0 || more !== undefined) return false;
  return prefix === undefined || Number(prefix) <= (version === 4 ? 32 : 128);
}
