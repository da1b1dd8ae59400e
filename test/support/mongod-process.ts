import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MongoClient } from 'mongodb';
import { installMongod } from '../../scripts/install-mongod.ts';
import { findFreePort } from '../../src/net/find-free-port.ts';
import type { Teardown } from './running-server.ts';

export interface MongodProcess {
  readonly port: number;
  /** Kills the process with SIGKILL and waits for its end. Does nothing if it is stopped. */
  stop(): Promise<void>;
  /** Starts it again on the same port and data, and waits until it takes writes. */
  start(): Promise<void>;
}

export interface MongodOptions {
  /** Not a replica set, which the store refuses. */
  readonly standalone?: boolean;
  /** Further arguments, such as those of TLS. */
  readonly args?: readonly string[];
}

const replicaSet = 'rs0';
const readyWithinMs = 120_000;
/** Reads the process id of mongod. When this process ends, however it does, kills mongod and removes its folder. */
const watchdog = `
read -r mongod
cat >/dev/null
[ -z "$mongod" ] || kill -9 "$mongod"
for i in $(seq 100); do kill -0 "$mongod" 2>/dev/null || break; sleep 0.1; done
rm -rf "$0"`;

/**
 * Starts a mongod of the test's own on a free loopback port and an empty folder, as a replica set of one member unless
 * `standalone`. It takes test commands such as `failCommand`. It ends with the test, or with this process.
 */
export async function startMongod(
  t: Teardown,
  { standalone = false, args: moreArgs = [] }: MongodOptions = {},
): Promise<MongodProcess> {
  const program = installMongod();
  const folder = mkdtempSync(join(temporaryFolder(), 'cpis-mongod-'));
  const logFile = join(folder, 'mongod.log');
  let port = await findFreePort();
  let isInitiated = standalone;
  let running: { readonly mongod: ChildProcess; readonly guard: ChildProcess } | undefined;

  const stop = async (): Promise<void> => {
    const stopping = running;
    running = undefined;
    if (stopping === undefined) return;
    const { mongod, guard } = stopping;
    if (mongod.exitCode === null && mongod.signalCode === null) {
      const ended = new Promise((resolve) => mongod.once('exit', resolve));
      mongod.kill('SIGKILL');
      await ended;
    }
    guard.kill('SIGKILL');
  };

  const start = async (): Promise<void> => {
    rmSync(logFile, { force: true });
    const args = [
      ...(standalone ? [] : ['--replSet', replicaSet, '--oplogSize', '64']),
      ...['--dbpath', folder, '--logpath', logFile, '--quiet'],
      ...['--bind_ip', '127.0.0.1', '--port', String(port), '--nounixsocket'],
      ...['--wiredTigerCacheSizeGB', '0.25'],
      ...['--setParameter', 'diagnosticDataCollectionEnabled=false', '--setParameter', 'enableTestCommands=1'],
      ...moreArgs,
    ];
    // Detached: Ctrl-C in a terminal ends this process, and the watchdog then ends mongod.
    const guard = spawn('sh', ['-c', watchdog, folder], { stdio: ['pipe', 'ignore', 'ignore'], detached: true });
    await new Promise((resolve, reject) => guard.once('spawn', resolve).once('error', reject));
    const mongod = spawn(program, args, { stdio: 'ignore', detached: true });
    // In the same turn, so that there is no moment at which the watchdog does not know of mongod.
    guard.stdin.write(`${mongod.pid}\n`);
    running = { mongod, guard };
    await new Promise((resolve, reject) => mongod.once('spawn', resolve).once('error', reject));
    await logged('"Waiting for connections"', mongod);
    if (!isInitiated) await initiate(port);
    isInitiated = true;
    if (!standalone) await logged('"Transition to primary complete; database writes are now permitted"', mongod);
  };

  const logged = async (text: string, mongod: ChildProcess): Promise<void> => {
    const deadlineMs = performance.now() + readyWithinMs;
    while (!readLog(logFile).includes(text)) {
      if (mongod.exitCode !== null || performance.now() > deadlineMs) {
        throw new Error(`mongod is not ready (exit status ${mongod.exitCode}):\n${readLog(logFile).slice(-2_000)}`);
      }
      await sleep(20);
    }
  };

  t.teardown(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  for (let triesLeft = 3; ; triesLeft--) {
    try {
      await start();
      break;
    } catch (error) {
      await stop();
      // Another process may have taken the port since it was found free.
      if (triesLeft === 0 || !readLog(logFile).includes('Address already in use')) throw error;
      port = await findFreePort();
    }
  }
  return {
    get port() {
      return port;
    },
    stop,
    start,
  };
}

const neededBytes = 2 * 1024 ** 3;

/**
 * Returns the file system in memory if it has room. No test cuts the power, so forcing writes to a disk proves nothing
 * there, and takes most of the time of a test.
 */
function temporaryFolder(): string {
  try {
    const { bavail, bsize } = statfsSync('/dev/shm');
    return bavail * bsize > neededBytes ? '/dev/shm' : tmpdir();
  } catch {
    return tmpdir();
  }
}

function readLog(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

async function initiate(port: number): Promise<void> {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/?directConnection=true`);
  try {
    const members = [{ _id: 0, host: `127.0.0.1:${port}` }];
    await client.db('admin').command({ replSetInitiate: { _id: replicaSet, members } });
  } finally {
    await client.close();
  }
}
