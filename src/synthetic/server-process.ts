import { type CpisProcess, environmentWithoutSettings, isServerReady, startCpis } from './cpis-process.ts';

/** `cpis serve` in its own process, which can be killed and started again. */
export interface ServerProcess {
  /** Starts the server and waits until it is ready. Rejects with the end of its log if it ends instead. */
  start(): Promise<void>;
  /** Sends SIGKILL and waits for the end. */
  kill(): Promise<void>;
  /** Stops the server for good, with SIGKILL if SIGTERM does not end it in time. */
  stop(): Promise<void>;
  /** Sends SIGKILL without waiting, for an `exit` handler. */
  killNow(): void;
}

export interface ServerProcessOptions {
  /** `CPIS_` settings. Those of this process are not passed on. */
  readonly settings: Readonly<Record<string, string>>;
  /** Receives the output of the server. */
  readonly logFile: string;
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
}

const stopLimitMs = 8_000;

export function buildServerProcess({ settings, logFile, origin }: ServerProcessOptions): ServerProcess {
  let starting: { readonly abort: AbortController; readonly ready: Promise<CpisProcess> } | undefined;
  let running: CpisProcess | undefined;
  let stopped = false;
  return {
    async start() {
      if (stopped) throw new Error('the server was stopped for good');
      const abort = new AbortController();
      const ready = startCpis({
        args: ['serve'],
        env: { ...environmentWithoutSettings(), ...settings },
        isReady: () => isServerReady(origin),
        logFile,
        signal: abort.signal,
      });
      starting = { abort, ready };
      running = await ready;
    },
    kill: async () => running?.kill(),
    async stop() {
      stopped = true;
      starting?.abort.abort();
      await starting?.ready.catch(() => undefined);
      const timer = setTimeout(() => running?.killNow(), stopLimitMs);
      await running?.stop();
      clearTimeout(timer);
    },
    killNow() {
      starting?.abort.abort();
      running?.killNow();
    },
  };
}
