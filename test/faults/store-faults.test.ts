import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { FhirFault } from '../../src/fhir/fault.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { audit, unit, write } from '../contract/fixtures.ts';

const script = fileURLToPath(new URL('./store-process.ts', import.meta.url));
const onFatal = (error: Error) => {
  throw error;
};

interface Committer {
  readonly process: ChildProcess;
  /** The lines printed so far. */
  readonly lines: () => readonly string[];
}

/** Starts the committing process, under `command` where given. Tap's loaders are not for it. */
function start(args: readonly string[], command: readonly string[] = []): Committer {
  const [file = process.execPath, ...rest] = [...command, process.execPath, script, ...args];
  const child = spawn(file, rest, { stdio: ['ignore', 'pipe', 'ignore'], env: { PATH: process.env['PATH'] ?? '' } });
  let printed = '';
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => {
    printed += chunk;
  });
  return { process: child, lines: () => printed.split('\n').slice(0, -1) };
}

/** Whether a command of this machine is there and exits with 0. */
function succeeds(command: string, ...args: readonly string[]): boolean {
  return spawnSync(command, args).status === 0;
}

const idsIn = (lines: readonly string[]) => lines.filter((line) => /-\d+$/.test(line));

/** Everything acknowledged is there, each with its delivery; more may be, of what was not answered any more. */
async function checkAll(t: Test, folder: string, acknowledged: readonly string[]): Promise<void> {
  const db = new DatabaseSync(join(folder, 'store.sqlite'));
  t.same(db.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' });
  db.close();
  const store = await openSqliteStore({ folder, onFatal });
  const lost: string[] = [];
  for (const id of acknowledged) if ((await store.read('AuditEvent', id)).kind !== 'found') lost.push(id);
  t.same(lost, [], 'I1: nothing acknowledged is lost');
  const plan = { type: 'AuditEvent', clauses: [], sort: [], limit: 0, total: true };
  const { total } = await store.search(plan);
  t.match(await store.deliveries.backlog(), [{ undelivered: total }], 'I2: each has its delivery');
  t.ok((total ?? 0) >= acknowledged.length);
  await store.close();
}

t.test('kill -9 in the middle of commits loses nothing that was acknowledged, and frees the folder', async (t) => {
  const folder = t.testdir();
  const acknowledged: string[] = [];
  for (let round = 0; round < 4; round++) {
    const committer = start([folder, `r${round}`]);
    while (idsIn(committer.lines()).length < 150 + round * 40)
      await once(committer.process.stdout ?? committer.process, 'data');
    if (round === 0) await t.rejects(openSqliteStore({ folder, onFatal }), /in use by another process/);
    committer.process.kill('SIGKILL');
    await once(committer.process, 'close');
    acknowledged.push(...idsIn(committer.lines()));
  }
  await checkAll(t, folder, acknowledged);
});

const strace = succeeds('strace', '-o', '/dev/null', 'true');

t.test(
  'a failed fsync ends the store: nothing after it is acknowledged',
  { skip: strace ? false : 'no strace here' },
  async (t) => {
    const folder = t.testdir();
    const inject = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', 'trace=fsync,fdatasync'];
    const committer = start([folder, 'a', '400'], [...inject, '-e', 'inject=fsync,fdatasync:error=EIO:when=20+']);
    const [code] = await once(committer.process, 'close');
    const lines = committer.lines();
    t.equal(code, 3, 'the process ends with the code of its onFatal');
    t.equal(lines.filter((line) => line === 'lost').length, 1);
    t.ok(lines.includes('refused'), 'what waited was refused');
    t.same(idsIn(lines.slice(lines.indexOf('lost'))), [], 'no acknowledgement after the failure');
    const acknowledged = idsIn(lines);
    t.ok(acknowledged.length > 0);
    await checkAll(t, folder, acknowledged);
  },
);

const canMount = process.getuid?.() === 0 && process.platform === 'linux';

t.test(
  'a full disk refuses with 503, applies nothing, and passes when there is room',
  { skip: canMount ? false : 'not root' },
  async (t) => {
    const folder = t.testdir();
    if (!succeeds('mount', '-t', 'tmpfs', '-o', 'size=2m', 'tmpfs', folder)) {
      t.comment('tmpfs cannot be mounted here');
      return;
    }
    try {
      await fillDisk(t, folder);
    } finally {
      succeeds('umount', '-l', folder);
    }
  },
);

async function fillDisk(t: Test, folder: string): Promise<void> {
  const filler = join(folder, 'filler');
  writeFileSync(filler, Buffer.alloc(700_000));
  const store = await openSqliteStore({ folder, onFatal });
  const acknowledged: string[] = [];
  const refused: string[] = [];
  for (let i = 0; i < 400 && refused.length < 5; i++) {
    try {
      const parts = { writes: [write(`f${i}`, { body: 'x'.repeat(4_000) })], audits: [audit(`a${i}`)] };
      await store.commit(unit(parts));
      acknowledged.push(`f${i}`);
    } catch (error) {
      refused.push(`f${i}`);
      t.ok(error instanceof FhirFault && error.category === 'transient');
    }
  }
  t.ok(acknowledged.length > 10);
  t.equal(refused.length, 5);
  t.equal(store.ready, false, 'until a commit succeeds');
  for (const id of refused) t.same(await store.read('Flag', id), { kind: 'absent' });
  for (const id of acknowledged) t.match(await store.read('Flag', id), { kind: 'found' });
  rmSync(filler);
  t.same(await store.commit(unit({ writes: [write('more')] })), { kind: 'committed' });
  t.equal(store.ready, true);
  await store.close();
}
