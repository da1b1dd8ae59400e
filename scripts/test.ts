/**
 * Runs the tests with tap, says what was skipped, and closes the output with the line `N passed, N failed`. Arguments go
 * to tap: `npm test -- test/cpis`.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { stripVTControlCharacters } from 'node:util';
import { noFerretDb } from '../test/support/ferretdb-server.ts';
import { noMongoServer, noReplicaSet } from '../test/support/mongo-server.ts';

const tap = spawn('tap', ['--reporter=terse', ...process.argv.slice(2)], {
  stdio: ['ignore', 'pipe', 'inherit'],
  shell: process.platform === 'win32',
  // Each test file, and each server that it starts, is a process that loads the same modules.
  env: { NODE_COMPILE_CACHE: join(import.meta.dirname, '../.tap/compile-cache'), ...process.env },
});
const exited = new Promise<number>((resolve) => {
  tap.on('close', (code) => resolve(code ?? 1));
});

const counts = { pass: 0, fail: 0, skip: 0, todo: 0 };
let lastBlank = true;
for await (const raw of createInterface({ input: tap.stdout })) {
  const line = stripVTControlCharacters(raw).trimEnd();
  const totals = /^# \{ total: .*\}$/.test(line);
  if (totals) {
    for (const [, name = '', value = ''] of line.matchAll(/(\w+): (\d+)/g)) {
      if (name in counts) counts[name as keyof typeof counts] = Number(value);
    }
  }
  const isProgress: boolean = /^(Asserts|Suites):/.test(line) || (line === '' && lastBlank);
  if (!isProgress) console.log(line);
  lastBlank = line === '' || isProgress;
}
const code = await exited;
const paths = process.argv.slice(2);
if (paths.length === 0 || paths.some((path) => path.includes('mongo'))) {
  if (noMongoServer !== undefined) console.log(`Skipped: the MongoDB store, for ${noMongoServer}.`);
  if (noFerretDb !== undefined) console.log(`Skipped: the MongoDB store on FerretDB, for ${noFerretDb}.`);
  if (noReplicaSet !== undefined) {
    console.log(`Skipped: transactions, change streams and explain of the MongoDB store, for ${noReplicaSet}.`);
  }
}
const failed = code !== 0 && counts.fail === 0 ? 1 : counts.fail;
console.log(`${counts.pass} passed, ${failed} failed${counts.skip > 0 ? `, ${counts.skip} skipped` : ''}`);
process.exitCode = code;
