import { SettingsError } from '../settings/settings.ts';

/** What to do about an error of listen(2), by its code. */
const advice: Readonly<Record<string, (host: string, port: number) => string>> = {
  EADDRINUSE: (host, port) =>
    `CPIS_PORT: another process listens on port ${port} of ${host}. Stop it, or set another port.`,
  EACCES: (_host, port) =>
    `CPIS_PORT: this user may not listen on port ${port}. Set a port above 1023, or give the process CAP_NET_BIND_SERVICE.`,
  EADDRNOTAVAIL: (host) => `CPIS_HOST: this machine has no address ${host}. Set one of its own addresses.`,
  EAFNOSUPPORT: (host) => `CPIS_HOST: this machine does not support the kind of address of ${host}, such as IPv6.`,
  ENOTFOUND: (host) => `CPIS_HOST: the name ${host} is unknown. Set an address of this machine.`,
  EAI_AGAIN: (host) => `CPIS_HOST: the name ${host} cannot be resolved at present. Set an address of this machine.`,
};

/** Throws the error of listening on an address: a SettingsError with what to change, if a setting is the cause. */
export function rejectListen(error: unknown, host: string, port: number): never {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const describe = Object.hasOwn(advice, code) ? advice[code] : undefined;
  throw describe === undefined ? error : new SettingsError([describe(host, port)]);
}
