import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ServerFlaw } from '../contract/store-contract.ts';
import type { MongoTestServer } from './mongo-server.ts';
import type { Teardown } from './running-server.ts';

/**
 * Starts a program that speaks the MongoDB protocol, on a fresh folder. `command` makes its command line; port 0 is any
 * that is free. It prints its port, and ends with its standard input.
 */
export async function openDatabaseProcess(
  t: Teardown,
  flaws: readonly ServerFlaw[],
  command: (folder: string, port: number) => readonly [string, ...string[]],
): Promise<MongoTestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-mongo-'));
  let running: ChildProcess | undefined;
  let port = 0;
  const start = async (): Promise<void> => {
    const [program, ...args] = command(folder, port);
    const child = spawn(program, args, { stdio: ['pipe', 'pipe', 'ignore'] });
    running = child;
    port = await new Promise<number>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the MongoDB test server ended with status ${code}`)));
      child.stdout?.once('data', (line: Buffer) => resolve(Number(line.toString().trim())));
    });
  };
  const stop = async (): Promise<void> => {
    const child = running;
    running = undefined;
    if (child === undefined || child.exitCode !== null) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.stdin?.end();
    await ended;
  };
  t.teardown(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });
  await start();
  return {
    newDatabaseUrl: () => `mongodb://127.0.0.1:${port}/cpis-test-${randomUUID()}`,
    isReplicaSet: false,
    flaws,
    stop,
    start,
  };
}
