import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

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

const program = fileURLToPath(new URL('../../../bin/cpis.js', import.meta.url));
const readyLimitMs = 20_000;
const stopLimitMs = 8_000;

export function buildServerProcess({ settings, logFile, origin }: ServerProcessOptions): ServerProcess {
  let child: ChildProcess | undefined;
  let ended: Promise<unknown> = Promise.resolve();
  let stopped = false;

  const isRunning = (): boolean => child !== undefined && child.exitCode === null && child.signalCode === null;

  async function isReady(): Promise<boolean> {
    try {
      const response = await fetch(`${origin}/health/ready`);
      await response.arrayBuffer();
      return response.ok;
    } catch {
      return false;
    }
  }

  async function kill(): Promise<void> {
    child?.kill('SIGKILL');
    await ended;
  }

  return {
    async start() {
      if (stopped) throw new Error('the server was stopped for good');
      const own = Object.entries(process.env).filter(([name]) => !name.startsWith('CPIS_'));
      const log = openSync(logFile, 'a', 0o600);
      const started = spawn(process.execPath, [program, 'serve'], {
        env: { ...Object.fromEntries(own), ...settings },
        stdio: ['ignore', log, log],
      });
      closeSync(log);
      child = started;
      ended = new Promise((resolve) => {
        started.once('exit', resolve).once('error', resolve);
      });
      const limitMs = Date.now() + readyLimitMs;
      while (!(await isReady())) {
        if (!isRunning() || Date.now() > limitMs) {
          throw new Error(`the server did not become ready; the end of its log:\n${readLogEnd(logFile)}`);
        }
        await sleep(25);
      }
    },
    kill,
    async stop() {
      stopped = true;
      child?.kill('SIGTERM');
      const timer = setTimeout(() => child?.kill('SIGKILL'), stopLimitMs);
      await ended;
      clearTimeout(timer);
    },
    killNow: () => void child?.kill('SIGKILL'),
  };
}

function readLogEnd(logFile: string): string {
  return readFileSync(logFile, 'utf8').split('\n').slice(-12).join('\n');
}

/**
 * A port of 127.0.0.1 that is free, below the range that operating systems give to outgoing connections: otherwise a
 * client that tries again while the server is down could be given the server's own port.
 */
export async function findServerPort(): Promise<number> {
  for (let attempt = 0; attempt < 50; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) return port;
  }
  throw new Error('no free port was found');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(true)));
  });
}
