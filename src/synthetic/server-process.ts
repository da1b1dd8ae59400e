import { type CpisProcess, environmentWithoutSettings, isServerReady, startCpis } from './cpis-process.ts';

/** `cpis serve` as a process of its own, which can be killed and started again. */
export interface ServerProcess {
  /** Starts it and waits until it is ready. Throws with the end of its log when it ends instead. */
  start(): Promise<void>;
  /** kill -9, and waits until it is gone. */
  kill(): Promise<void>;
  /** For good: asks it to end, and kills it when it does not. */
  stop(): Promise<void>;
  /** At once, for an `exit` handler. */
  killNow(): void;
}

export interface ServerProcessOptions {
  /** `CPIS_` settings; those of this process are not handed on. */
  readonly settings: Readonly<Record<string, string>>;
  /** Output of the server goes there. */
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
