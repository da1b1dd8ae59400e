import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { defined } from '../fhir/defined.ts';

/** A running command of the command line in its own process. */
export interface CpisProcess {
  /** Process id of the program itself, even if it runs under a tracer. */
  readonly pid: number;
  /** Time from the start until it was ready. */
  readonly startMs: number;
  /** Returns everything written to standard output and error so far. */
  output(): string;
  /** Resolves with the exit code when the process has ended; null if a signal ended it. */
  readonly exited: Promise<number | null>;
  /** Sends SIGTERM and resolves with the exit code. */
  stop(): Promise<number | null>;
  /** Sends SIGKILL and waits for the end. */
  kill(): Promise<void>;
  /** Sends SIGKILL without waiting, for an `exit` handler. */
  killNow(): void;
}

export interface CpisProcessOptions {
  /** The command and its options. */
  readonly args: readonly string[];
  /** The complete environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Called until it returns true. */
  readonly isReady: (output: string) => boolean | Promise<boolean>;
  readonly readyTimeoutMs?: number;
  /** Kills the process if aborted before it is ready. */
  readonly signal?: AbortSignal;
  readonly cwd?: string;
  /** A command that runs the program, such as strace with its options. */
  readonly tracer?: readonly string[];
  /** Options of Node, such as --cpu-prof. */
  readonly nodeOptions?: readonly string[];
  /** Receives the output instead of memory. */
  readonly logFile?: string;
  /** Receives standard output instead of `output`. */
  readonly onStdout?: (chunk: Buffer) => void;
}

const program = fileURLToPath(new URL('../../bin/cpis.js', import.meta.url));
const pollEveryMs = 5;

/** Returns the environment of this process without `CPIS_` settings. */
export function environmentWithoutSettings(): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('CPIS_')));
}

/**
 * Starts the program and waits until it is ready. Rejects with the end of its output if it ends or is not ready in
 * time.
 */
export async function startCpis(options: CpisProcessOptions): Promise<CpisProcess> {
  const { args, env, cwd, tracer = [], nodeOptions = [], logFile, onStdout, readyTimeoutMs = 120_000 } = options;
  const [command = '', ...rest] = [...tracer, process.execPath, ...nodeOptions, program, ...args];
  const startedMs = performance.now();
  const log = logFile === undefined ? ('pipe' as const) : openSync(logFile, 'a', 0o600);
  const child = spawn(command, rest, {
    env,
    stdio: ['ignore', log, log],
    ...defined({ cwd }),
  });
  if (typeof log === 'number') closeSync(log);
  const chunks: Buffer[] = [];
  child.stdout?.on('data', onStdout ?? ((chunk: Buffer) => chunks.push(chunk)));
  child.stderr?.on('data', (chunk: Buffer) => chunks.push(chunk));
  const output = (): string =>
    logFile === undefined ? Buffer.concat(chunks).toString() : readFileSync(logFile, 'utf8');
  let ended = false;
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', (code) => {
      ended = true;
      resolve(code);
    });
  });
  exited.catch(() => undefined);
  const killStarting = (): void => void child.kill('SIGKILL');
  options.signal?.addEventListener('abort', killStarting, { once: true });
  while (!(await options.isReady(output()))) {
    const late = performance.now() - startedMs > readyTimeoutMs;
    if (late) child.kill('SIGKILL');
    if (ended || late)
      throw new Error(`the process did not become ready; end of its output:\n${output().slice(-3_000)}`);
    await sleep(pollEveryMs);
  }
  options.signal?.removeEventListener('abort', killStarting);
  const pid = tracer.length === 0 ? pidOf(child) : tracedPid(pidOf(child));
  const signal = (name: NodeJS.Signals): void => {
    if (!ended) process.kill(pid, name);
  };
  return {
    pid,
    startMs: performance.now() - startedMs,
    output,
    exited,
    stop() {
      signal('SIGTERM');
      return exited;
    },
    async kill() {
      signal('SIGKILL');
      await exited;
    },
    killNow: () => signal('SIGKILL'),
  };
}

/** Returns whether a server is ready for requests. */
export async function isServerReady(origin: string): Promise<boolean> {
  try {
    const response = await fetch(`${origin}/health/ready`, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the process could not be started');
  return child.pid;
}

/** Returns the process id of the child of a tracer. */
function tracedPid(tracerPid: number): number {
  const [pid = ''] = readFileSync(`/proc/${tracerPid}/task/${tracerPid}/children`, 'utf8').split(' ');
  if (pid === '') throw new Error('the tracer has no child process');
  return Number(pid);
}
