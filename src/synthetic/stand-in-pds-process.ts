import { environmentWithoutSettings, startCpis } from './cpis-process.ts';
import type { StandInPerson } from './stand-in-pds/stand-in-people.ts';

/** `cpis stand-in-pds` in its own process. */
export interface StandInPdsProcess {
  /** The settings that connect a server to it. */
  readonly settings: Readonly<Record<string, string>>;
  /** Adds or replaces records. */
  put(people: readonly StandInPerson[]): Promise<void>;
  /** Answers every request with a status or after a delay, until called without either. */
  setOutage(outage: { readonly status?: number; readonly delayMs?: number }): Promise<void>;
  revokeTokens(): Promise<void>;
  /** Returns the requests for a record so far. */
  requests(): Promise<readonly { readonly number: string; readonly requestId: string; readonly atMs: number }[]>;
  stop(): Promise<void>;
  /** Sends SIGKILL without waiting, for an `exit` handler. */
  killNow(): void;
}

/** Starts the stand-in on a free port. The key file is created if it does not exist. */
export async function startStandInPds(keyFile: string, port = 0): Promise<StandInPdsProcess> {
  const child = await startCpis({
    args: ['stand-in-pds', '--key', keyFile, '--port', String(port)],
    env: environmentWithoutSettings(),
    isReady: (output) => output.includes('listening;'),
  });
  const settings = Object.fromEntries(
    child
      .output()
      .matchAll(/^(CPIS_[A-Z_]+)=(\S+)$/gm)
      .map(([, name, value]) => [name, value]),
  );
  const origin = new URL(settings['CPIS_PDS_URL'] ?? '').origin;
  async function control(method: string, path: string, body?: unknown): Promise<unknown> {
    const response = await fetch(`${origin}/stand-in/${path}`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`the stand-in answered ${response.status}`);
    return text === '' ? undefined : JSON.parse(text);
  }
  return {
    settings,
    put: async (people) => void (await control('PUT', 'people', people)),
    setOutage: async (outage) => void (await control('PUT', 'outage', outage)),
    revokeTokens: async () => void (await control('DELETE', 'tokens')),
    requests: async () => (await control('GET', 'requests')) as Awaited<ReturnType<StandInPdsProcess['requests']>>,
    stop: async () => void (await child.stop()),
    killNow: () => child.killNow(),
  };
}
