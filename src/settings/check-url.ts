const loopbackHost = /^(127(\.\d{1,3}){3}|localhost|::1|\[::1\])$/;

/** Returns whether a host, as a setting or a URL names it, is this machine itself. */
export function isLoopbackHost(host: string): boolean {
  return loopbackHost.test(host);
}

/**
 * Describes what is wrong with an absolute https URL; undefined if nothing is. Http is allowed on loopback if so asked.
 */
export function checkUrl(text: string, allowLoopbackHttp: boolean): string | undefined {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) return 'must be an absolute URL';
  if (url.username !== '' || url.password !== '' || url.search !== '' || url.hash !== '') {
    return 'must not have a user, query or fragment';
  }
  const loopback = isLoopbackHost(url.hostname);
  if (url.protocol === 'https:' || (url.protocol === 'http:' && loopback && allowLoopbackHttp)) return undefined;
  return allowLoopbackHttp
    ? 'must be an https URL (http is allowed only for a loopback address)'
    : 'must be an https URL';
}
