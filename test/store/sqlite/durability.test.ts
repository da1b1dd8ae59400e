import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { assertDurable, openConnection } from '../../../src/store/sqlite/connection/connection.ts';
import { openSchema, schemaVersion } from '../../../src/store/sqlite/connection/schema.ts';
import { openSqliteStore } from '../../../src/store/sqlite/open-sqlite-store.ts';
import { audit, findIds, plan, readFound, token, unit, write } from '../../contract/fixtures.ts';
import { openTestStore } from './open-test-store.ts';

const onFatal = (error: Error) => {
  throw error;
};

/** Whether the promise rejects because the store cannot serve at present, with a time to retry. */
async function isUnavailable(promise: Promise<unknown>): Promise<boolean> {
  try {
    await promise;
    return false;
  } catch (error) {
    return error instanceof FhirFault && error.category === 'transient' && error.retryAfterS !== undefined;
  }
}

t.test('each connection is durable: WAL and synchronous = FULL, also after a first write', async (t) => {
  const folder = t.testdir();
  const file = join(folder, 'store.sqlite');
  const writing = openConnection({ file, use: 'write' });
  openSchema(writing);
  assertDurable(writing);
  t.same(writing.prepare('PRAGMA synchronous').get(), { synchronous: 2 });
  t.same(writing.prepare('PRAGMA journal_mode').get(), { journal_mode: 'wal' });
  writing.exec('PRAGMA synchronous = NORMAL');
  t.throws(() => assertDurable(writing), /synchronous/);
  const reading = openConnection({ file, use: 'read' });
  t.same(reading.prepare('PRAGMA synchronous').get(), { synchronous: 2 });
  t.throws(() => reading.exec('DELETE FROM resource'), /readonly/);
  reading.close();
  writing.close();
  const rollback = join(folder, 'other.sqlite');
  new DatabaseSync(rollback).close();
  t.throws(() => openConnection({ file: rollback, use: 'read' }), /journal_mode/);
});

t.test('one process at a time uses a folder', async (t) => {
  const { folder, store } = await openTestStore(t);
  await t.rejects(openSqliteStore({ folder, onFatal }), /in use by another process/);
  await store.commit(unit({ writes: [write('f1')] }));
  await store.close();
  const again = await openSqliteStore({ folder, onFatal });
  t.match(await again.read('Flag', 'f1'), { kind: 'found' });
  await again.close();
});

t.test('a newer database, and a file that is not a store, are refused and not changed', async (t) => {
  const newer = t.testdir({ newer: {}, other: {} });
  const file = join(newer, 'newer', 'store.sqlite');
  const db = new DatabaseSync(file);
  db.exec(`PRAGMA user_version = ${schemaVersion + 1}`);
  db.close();
  await t.rejects(openSqliteStore({ folder: join(newer, 'newer'), onFatal }), /newer/);
  await t.rejects(openSqliteStore({ folder: join(newer, 'newer'), onFatal }), /newer/, 'the folder is not left locked');
  const other = join(newer, 'other', 'store.sqlite');
  const foreign = new DatabaseSync(other);
  foreign.exec('CREATE TABLE mine (a)');
  foreign.close();
  await t.rejects(openSqliteStore({ folder: join(newer, 'other'), onFatal }), /this program did not write it/);
});

t.test('a bad member of a batch fails alone', async (t) => {
  const { store } = await openTestStore(t);
  const results = await Promise.allSettled(
    Array.from({ length: 40 }, (_, i) => {
      const bad = audit(`a${i}`, { recordedMs: i === 17 ? 0.5 : 1_000, deliverTo: ['E1'] });
      return store.commit(unit({ writes: [write(`f${i}`)], audits: [bad] }));
    }),
  );
  t.same(
    results.flatMap(({ status }, i) => (status === 'rejected' ? [i] : [])),
    [17],
  );
  t.match(results[17], { reason: { category: 'exception' } });
  t.equal((await findIds(store, plan([]))).length, 39);
  t.same(await store.read('Flag', 'f17'), { kind: 'absent' });
  t.match(await store.deliveries.backlog(), [{ undelivered: 39 }]);
});

t.test('no statement changes or removes an audit row', async (t) => {
  const { store, folder } = await openTestStore(t);
  await store.commit(unit({ audits: [audit('a1')] }));
  await store.close();
  const db = new DatabaseSync(join(folder, 'store.sqlite'));
  for (const table of ['audit', 'audit_key']) {
    t.throws(() => db.exec(`DELETE FROM ${table}`), /append-only/);
    t.throws(() => db.exec(`UPDATE ${table} SET seq = seq + 1`), /append-only/);
  }
  t.same(db.prepare('PRAGMA integrity_check').get(), { integrity_check: 'ok' });
  db.close();
});

t.test(
  'a commit to a full file is refused and changes nothing; reads continue, and so do commits when there is space',
  async (t) => {
    const { store, folder } = await openTestStore(t, { maxPages: 120 });
    const body = 'x'.repeat(9_000);
    const fill = (id: string) => store.commit(unit({ writes: [write(id, { body, index: [token('code', id)] })] }));
    const acknowledged: string[] = [];
    let refused = 0;
    for (let i = 0; refused < 3 && i < 200; i++) {
      const results = await Promise.allSettled([fill(`f${i}a`), fill(`f${i}b`)]);
      for (const [at, result] of results.entries()) {
        if (result.status === 'fulfilled') acknowledged.push(`f${i}${at === 0 ? 'a' : 'b'}`);
        else refused += (await isUnavailable(Promise.reject(result.reason))) ? 1 : 100;
      }
    }
    t.ok(acknowledged.length > 5);
    t.ok(refused >= 3 && refused < 100, 'every refusal is transient');
    t.equal(store.ready, false, 'not before a commit succeeds');
    t.same(await findIds(store, plan([])), [...acknowledged].sort(), 'refused writes are not stored');
    await store.close();
    const larger = await openSqliteStore({ folder, onFatal, maxPages: 10_000 });
    t.same(await findIds(larger, plan([])), [...acknowledged].sort());
    t.same(await larger.commit(unit({ writes: [write('more', { body })] })), { kind: 'committed' });
    await larger.close();
  },
);

t.test('a damaged file ends the store once: nothing more is acknowledged', async (t) => {
  const fatal: Error[] = [];
  const { store, folder } = await openTestStore(t, { onFatal: (error) => fatal.push(error) });
  await store.commit(
    unit({ writes: Array.from({ length: 300 }, (_, i) => write(`f${i}`, { body: 'x'.repeat(2_000) })) }),
  );
  await store.close();
  const damaged = await openSqliteStore({ folder, onFatal: (error) => fatal.push(error) });
  const file = join(folder, 'store.sqlite');
  writeFileSync(file, Buffer.alloc(statSync(file).size - 65_536, 0xa5), { flag: 'r+', flush: true });
  const results = await Promise.all(
    Array.from({ length: 10 }, (_, i) => isUnavailable(damaged.commit(unit({ writes: [write(`g${i}`)] })))),
  );
  t.same(results, Array(10).fill(true));
  t.equal(damaged.ready, false);
  t.equal(fatal.length, 1);
  t.equal(await isUnavailable(damaged.commit(unit({ audits: [audit('a1')] }))), true);
  t.equal(await isUnavailable(damaged.read('Flag', 'f1')), true);
  t.equal(await isUnavailable(damaged.useOnce('k', 2, 1)), true);
  t.equal(fatal.length, 1);
  await damaged.close();
});

t.test('the queue before the writer is bounded', async (t) => {
  const { store } = await openTestStore(t);
  const results = await Promise.allSettled(
    Array.from({ length: 11_000 }, (_, i) => store.useOnce(`k${i}`, 60_000, 1_000)),
  );
  const refused = results.filter(({ status }) => status === 'rejected');
  t.equal(refused.length, 1_000);
  t.match(refused[0], { reason: { category: 'transient', detail: 'store-queue-full' } });
  t.equal(await store.useOnce('later', 60_000, 1_000), true);
});

t.test('closing applies waiting operations and rejects new ones', async (t) => {
  const { store, folder } = await openTestStore(t);
  const waiting = Promise.all(Array.from({ length: 50 }, (_, i) => store.commit(unit({ writes: [write(`f${i}`)] }))));
  const closing = store.close();
  t.equal(await isUnavailable(store.commit(unit({ writes: [write('late')] }))), true);
  t.equal(await isUnavailable(store.read('Flag', 'f1')), true);
  t.equal((await waiting).length, 50);
  await closing;
  const again = await openSqliteStore({ folder, onFatal });
  t.equal((await findIds(again, plan([]))).length, 50);
  t.match(await readFound(again, 'Flag', 'f49'), { version: 1 });
  await again.close();
});
