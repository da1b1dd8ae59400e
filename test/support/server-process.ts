import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import {
  makeSyntheticRegistry,
  type SyntheticOptions,
  type SyntheticRegistry,
} from '../../src/cli/demo/synthetic-registry.ts';
import { checkResponses, watchFetch } from './check-responses.ts';

/** What a server needs to be started, and to be started again, on: a fresh folder, a registry, a port. */
export interface ServerHome {
  readonly folder: string;
  /** The SQLite file of the store. */
  readonly storeFile: string;
  readonly registry: SyntheticRegistry;
  /** `http://127.0.0.1:<port>` */
  readonly origin: string;
  readonly baseUrl: string;
  /** The environment that the server is started with. */
  readonly settings: Readonly<Record<string, string>>;
  /** Removes the folder. Throws when a response was not valid FHIR. */
  remove(): void;
}

/** A running `cpis serve`. */
export interface ServerProcess {
  /** Of the server itself, also when it runs under a tracer. */
  readonly pid: number;
  /** How long it took until it was ready. */
  readonly startMs: number;
  /** All that it wrote to standard output and error so far. */
  output(): string;
  /** Resolves when it has ended, with the exit code; null: ended by a signal. */
  readonly exited: Promise<number | null>;
  /** SIGTERM; resolves with the exit code. */
  stop(): Promise<number | null>;
  /** SIGKILL. */
  kill(): Promise<void>;
}

export interface StartOptions {
  /** A command that runs the server's command line, such as strace with its options. */
  readonly tracer?: readonly string[];
  /** Options of Node, such as --cpu-prof. */
  readonly nodeOptions?: readonly string[];
  readonly readyTimeoutMs?: number;
}

const program = fileURLToPath(new URL('../../bin/cpis.js', import.meta.url));

/** Makes a folder with a synthetic registry, and settings for a free port of 127.0.0.1. */
export async function makeServerHome(
  options: Partial<SyntheticOptions> & {
    readonly settings?: Readonly<Record<string, string>>;
    /** Where the data folder goes, if not into the folder of the home. */
    readonly dataFolder?: string;
    /** The responses are not validated: where time is measured. */
    readonly unchecked?: boolean;
  } = {},
): Promise<ServerHome> {
  if (options.unchecked !== true) watchFetch();
  const folder = mkdtempSync(join(tmpdir(), 'cpis-process-'));
  const dataFolder = options.dataFolder ?? join(folder, 'data');
  const registry = await makeSyntheticRegistry({
    authorityNames: ['Northmoor (synthetic)', 'Eastvale (synthetic)'],
    careProviderNames: ['Northmoor General (synthetic)', 'Eastvale UTC (synthetic)'],
    ...options,
  });
  const registryFile = join(folder, 'registry.json');
  writeFileSync(registryFile, JSON.stringify(registry.json));
  const port = await findFreePort();
  const origin = `http://127.0.0.1:${port}`;
  return {
    folder,
    storeFile: join(dataFolder, 'store.sqlite'),
    registry,
    origin,
    baseUrl: `${origin}/FHIR/R4`,
    settings: {
      CPIS_PORT: String(port),
      CPIS_DATA_FOLDER: dataFolder,
      CPIS_REGISTRY_FILE: registryFile,
      ...options.settings,
    },
    remove() {
      rmSync(folder, { recursive: true, force: true });
      checkResponses();
    },
  };
}

/** Starts the program as an operator would and waits until it is ready. Throws with its output when it ends instead. */
export async function startServerProcess(home: ServerHome, options: StartOptions = {}): Promise<ServerProcess> {
  const [command = '', ...args] = [
    ...(options.tracer ?? []),
    process.execPath,
    ...(options.nodeOptions ?? []),
    program,
    'serve',
  ];
  const startedMs = performance.now();
  const child = spawn(command, args, { env: { PATH: process.env['PATH'], ...home.settings }, cwd: home.folder });
  const chunks: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk));
  const output = (): string => Buffer.concat(chunks).toString();
  let ended = false;
  const exited = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => {
      ended = true;
      resolve(code);
    });
  });
  const deadlineMs = startedMs + (options.readyTimeoutMs ?? 30_000);
  while (!(await isReady(home.origin))) {
    if (ended) throw new Error(`the server ended before it was ready:\n${output()}`);
    if (performance.now() > deadlineMs) {
      child.kill('SIGKILL');
      throw new Error(`the server was not ready in time:\n${output()}`);
    }
    await pause(5);
  }
  const pid = options.tracer === undefined ? pidOf(child) : tracedPid(pidOf(child));
  return {
    pid,
    startMs: performance.now() - startedMs,
    output,
    exited,
    stop() {
      if (!ended) process.kill(pid, 'SIGTERM');
      return exited;
    },
    async kill() {
      if (!ended) process.kill(pid, 'SIGKILL');
      await exited;
    },
  };
}

async function isReady(origin: string): Promise<boolean> {
  try {
    const response = await fetch(`${origin}/health/ready`, { headers: { connection: 'close' } });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

function pidOf(child: ChildProcess): number {
  if (child.pid === undefined) throw new Error('the server could not be started');
  return child.pid;
}

/** The process that a tracer started. */
function tracedPid(tracerPid: number): number {
  const [pid = ''] = readFileSync(`/proc/${tracerPid}/task/${tracerPid}/children`, 'utf8').split(' ');
  if (pid === '') throw new Error('the tracer has started no server');
  return Number(pid);
}

async function findFreePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === 'string') throw new Error('no free port was found');
  return address.port;
}
