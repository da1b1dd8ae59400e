import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import t, { type Test } from 'tap';
import { openConnection } from '../../../../src/store/sqlite/connection/connection.ts';
import { openSchema } from '../../../../src/store/sqlite/connection/schema.ts';
import { openTextEncoder } from '../../../../src/store/sqlite/encoding/audit-text.ts';
import { openSqliteExport } from '../../../../src/store/sqlite/export/open-sqlite-export.ts';
import { openSqliteStore } from '../../../../src/store/sqlite/open-sqlite-store.ts';
import { encodeUnit } from '../../../../src/store/sqlite/write/encode-unit.ts';
import { openBatches } from '../../../../src/store/sqlite/writer/apply-batch.ts';
import { isIndexProgress } from '../../../../src/store/sqlite/writer/write-op.ts';
import type { AuditWrite, SharedText, Store } from '../../../../src/store/store.ts';
import { audit, findIds, plan, token, unit, write } from '../../../contract/fixtures.ts';
import { makeTempFolder } from '../../../support/temp-folder.ts';
import { openTestStore } from '../open-test-store.ts';

const agents: SharedText = { text: `"agent":[{"name":"${'x'.repeat(300)}"}],` };
const source: SharedText = { text: '"source":{"site":"s"}}' };

/** Returns an event whose text is in pieces. */
function inPieces(id: string, changes: Partial<AuditWrite> = {}): AuditWrite {
  const pieces = [`{"resourceType":"AuditEvent","id":"${id}",`, agents, source];
  const body = pieces.map((piece) => (typeof piece === 'string' ? piece : piece.text)).join('');
  return audit(id, { body, pieces, ...changes });
}

const all = plan([], { type: 'AuditEvent', limit: 50_000 });
const ofPatient = plan(
  [{ kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: '9990000018' }] }],
  { type: 'AuditEvent', limit: 50_000 },
);

/** Copies the files in their present state, as kill -9 would leave them. */
function copyOf(t: { teardown(remove: () => unknown): unknown }, folder: string): string {
  const to = makeTempFolder(t);
  for (const name of ['store.sqlite', 'store.sqlite-wal']) cpSync(join(folder, name), join(to, name));
  return to;
}

const onFatal = (error: Error): never => {
  throw error;
};

async function opened(t: { teardown(close: () => unknown): unknown }, folder: string): Promise<Store> {
  const store = await openSqliteStore({ folder, onFatal });
  t.teardown(() => store.close());
  return store;
}

t.test('I3: events without search keys at a crash are found afterwards, whole, and are delivered', async (t) => {
  const { store, folder } = await openTestStore(t);
  const ids = ['a1', 'a2', 'a3'];
  for (const id of ids) await store.commit(unit({ audits: [inPieces(id, { deliverTo: ['E1'] })] }));
  const crashed = copyOf(t, folder);
  const db = new DatabaseSync(join(crashed, 'store.sqlite'));
  t.equal(db.prepare('SELECT count(*) AS n FROM audit_key').get()?.['n'], 0, 'no key was written yet');
  t.equal(db.prepare('SELECT count(*) AS n FROM audit_text').get()?.['n'], 2, 'shared texts are stored once');
  t.notMatch(String(db.prepare('SELECT body FROM audit').get()?.['body']), 'xxx');
  db.close();
  const after = await opened(t, crashed);
  t.same(await findIds(after, ofPatient), [...ids].reverse());
  t.match(await after.read('AuditEvent', 'a2'), { resource: { body: inPieces('a2').body } });
  const claimed = await after.deliveries.claim('E1', 10, 10_000, 20_000);
  t.same(
    claimed.map(({ body }) => body),
    ids.map((id) => inPieces(id).body),
  );
});

t.test('I3: events without delivery rows at a crash are undelivered afterwards, and are exported', async (t) => {
  const { store, folder } = await openTestStore(t);
  await store.commit(unit({ audits: [audit('a1', { deliverTo: ['E1', 'E2', 'E1'] }), audit('a2')] }));
  await store.commit(unit({ audits: [audit('a3', { recordedMs: 900, deliverTo: ['E1'] })] }));
  const crashed = copyOf(t, folder);
  const exported = copyOf(t, folder);
  const db = new DatabaseSync(join(crashed, 'store.sqlite'));
  t.equal(db.prepare('SELECT count(*) AS n FROM delivery').get()?.['n'], 0, 'no row was written yet');
  db.close();
  const source = openSqliteExport(exported);
  const deliveries = [...source.read('audit', undefined)].map(({ record }) =>
    record.deliveries.map(({ authority, state }) => `${record.id} ${authority} ${state}`),
  );
  source.close();
  t.same(deliveries, [['a1 E1 ready', 'a1 E2 ready'], [], ['a3 E1 ready']]);
  for (const each of [store, await opened(t, crashed)]) {
    t.match(await each.deliveries.backlog(), [
      { authority: 'E1', undelivered: 2, oldestRecordedMs: 900 },
      { authority: 'E2', undelivered: 1, oldestRecordedMs: 1_000 },
    ]);
    const owed = await each.deliveries.owed('E1', 10);
    t.same(
      owed.map(({ auditId }) => auditId),
      ['a3', 'a1'],
    );
    t.equal((await each.deliveries.claim('E1', 10, 10_000, 20_000)).length, 2);
  }
});

t.test('a search finds each event committed before it, during many commits', async (t) => {
  const { store } = await openTestStore(t);
  let committed = 0;
  const commits = Array.from({ length: 6_000 }, async (_, at) => {
    await store.commit(unit({ audits: [inPieces(`a${at}`)] }));
    committed += 1;
    if (committed % 500 !== 0) return;
    const before = committed;
    const { length } = await findIds(store, ofPatient);
    if (length < before) t.fail(`${length} of ${before}`);
  });
  await Promise.all(commits);
  t.equal((await findIds(store, all)).length, 6_000);
});

const ofLabel = plan([{ kind: 'label', any: ['l1'] }], { type: 'AuditEvent', limit: 50_000 });

/** Opens a store without its thread, so that the test runs each step. */
function openSteps(t: Test) {
  const folder = t.testdir();
  const db = openConnection({ file: join(folder, 'store.sqlite'), use: 'write' });
  openSchema(db);
  let nowMs = 0;
  const batches = openBatches(db, () => nowMs);
  const encoder = openTextEncoder();
  let written = 0;
  const numberOf = (sql: string): number => Number(db.prepare(sql).get()?.['n']);
  return {
    folder,
    batches,
    written: () => written,
    step: () => batches.apply([['index-step']]),
    /** Indexes everything, as a search does. Returns the number of chunks. */
    index(): number {
      const upTo = numberOf('SELECT max(seq) AS n FROM audit');
      for (let parts = 1; ; parts += 1) {
        const outcome = batches.apply([['index', upTo]]);
        const [progress] = outcome.kind === 'done' ? outcome.results : [];
        if (!isIndexProgress(progress)) throw new Error(JSON.stringify(outcome));
        if (progress.indexed >= upTo) return parts;
      }
    },
    pass(ms: number) {
      nowMs += ms;
    },
    keys: () => numberOf('SELECT count(*) AS n FROM audit_key'),
    indexed: () => numberOf('SELECT indexed AS n FROM audit_progress'),
    write(count: number) {
      const ops = Array.from({ length: count }, (_, i) => {
        const at = written + i;
        const of = { patients: [`Patient/p${at % 700}`], entities: [], labels: [`l${at % 3}`], deliverTo: ['E1'] };
        return encodeUnit(unit({ audits: [audit(`a${at}`, of)] }), encoder).op;
      });
      written += count;
      batches.apply(ops);
    },
    close: () => db.close(),
  };
}

/** Checks that a store on this folder has `count` events, indexed and queued. */
async function checkWhole(t: Test, folder: string, count: number): Promise<void> {
  const store = await opened(t, folder);
  t.equal((await findIds(store, ofLabel)).length, Math.ceil((count - 1) / 3));
  t.equal((await findIds(store, all)).length, count);
  t.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: count }]);
}

t.test('keys are written in chunks, with commits in between; a crash between chunks loses none', async (t) => {
  const steps = openSteps(t);
  steps.write(100);
  t.notOk(steps.batches.isStepDue(), 'a few events wait');
  while (steps.keys() === 0) {
    steps.write(500);
    t.equal(steps.indexed(), 0);
    if (steps.batches.isStepDue()) steps.step();
  }
  const written = steps.written();
  const first = steps.keys();
  t.ok(written >= 16_384 && first < written, `${first} keys of ${written} events are one chunk`);
  const crashed = copyOf(t, steps.folder);
  steps.write(300);
  while (steps.indexed() === 0) steps.step();
  t.ok(steps.indexed() >= 16_384 && steps.indexed() < steps.written());
  for (let at = 0; at < 34; at += 1) steps.write(500);
  for (const before = steps.keys(); steps.keys() === before; ) steps.step();
  const writing = steps.keys();
  steps.write(10);
  const parts = steps.index();
  t.ok(parts > 10, `${parts} chunks for a search`);
  t.equal(steps.indexed(), steps.written(), 'a search has all of them indexed, including those being written');
  t.ok(steps.keys() > writing);
  t.notOk(steps.batches.isStepDue());
  t.equal(steps.index(), 1, 'nothing is left to do');
  const total = steps.written();
  steps.close();
  await checkWhole(t, crashed, written);
  await checkWhole(t, steps.folder, total);
});

t.test('a few events are indexed when the first of them has waited long enough', async (t) => {
  const steps = openSteps(t);
  steps.write(10);
  t.notOk(steps.batches.isStepDue());
  steps.pass(1_900);
  steps.write(10);
  t.notOk(steps.batches.isStepDue());
  t.equal(steps.keys(), 0);
  steps.pass(100);
  t.ok(steps.batches.isStepDue());
  steps.step();
  t.equal(steps.indexed(), 20);
  t.notOk(steps.batches.isStepDue());
  steps.write(10);
  steps.pass(1_900);
  t.notOk(steps.batches.isStepDue(), 'the next events have their own wait');
  steps.close();
  await checkWhole(t, steps.folder, 30);
});

t.test('a chunk that is rolled back with its batch is written again, the last one too', async (t) => {
  const steps = openSteps(t);
  steps.write(1_024);
  t.ok(steps.batches.isStepDue());
  steps.pass(2_000);
  const broken = encodeUnit(unit({ audits: [audit('bad', { recordedMs: Number.NaN })] }), openTextEncoder()).op;
  let batches = 0;
  for (; steps.indexed() < 1_024; batches += 1) {
    const before = steps.keys();
    const outcome = steps.batches.apply([['index-step'], broken, ['index-step']]);
    t.match(outcome, { results: [true, { failed: 'rejected' }, true] });
    t.ok(steps.keys() > before);
  }
  t.ok(batches > 1, `${batches} batches`);
  steps.write(2_000);
  const outcome = steps.batches.apply([['index', undefined], broken, ['index', undefined]]);
  const half = { committed: 3_024, indexed: 1_024 };
  t.match(outcome, { results: [half, { failed: 'rejected' }, half] });
  t.ok(steps.index() > 1);
  const total = steps.written();
  steps.close();
  await checkWhole(t, steps.folder, total);
});

t.test('I3: events that a full disk kept from being indexed at the start are not reported as absent', async (t) => {
  const { store, folder } = await openTestStore(t);
  for (let at = 0; at < 100; at += 1) await store.commit(unit({ audits: [audit(`a${at}`, { deliverTo: ['E1'] })] }));
  const crashed = copyOf(t, folder);
  const db = new DatabaseSync(join(crashed, 'store.sqlite'));
  const maxPages = Number(db.prepare('PRAGMA page_count').get()?.['page_count']);
  db.close();
  const full = await openSqliteStore({ folder: crashed, onFatal, maxPages });
  t.match(await findIds(full, all).catch((error: unknown) => error), { category: 'transient' });
  t.match(await full.deliveries.backlog(), [{ authority: 'E1', undelivered: 100 }], 'the delivery rows fit');
  await full.close();
  await t.resolveMatch(findIds(await opened(t, crashed), all), { length: 100 });
});

t.test('events of many keys are gathered a few at a time', async (t) => {
  const steps = openSteps(t);
  const wide = Array.from({ length: 300 }, (_, at) => {
    const patients = Array.from({ length: 200 }, (_, of) => `Patient/p${at}-${of}`);
    return encodeUnit(unit({ audits: [audit(`w${at}`, { patients })] }), openTextEncoder()).op;
  });
  steps.batches.apply(wide);
  t.ok(steps.index() > 10, 'no chunk has the keys of all events');
  t.equal(steps.indexed(), 300);
  t.ok(steps.keys() > 300 * 200);
});

t.test('sequence numbers that a refused unit used do not hide events after a restart', async (t) => {
  const { store, folder } = await openTestStore(t);
  await store.commit(unit({ audits: [audit('a1')] }));
  const wrong = audit('bad', { recordedMs: Number.NaN });
  await t.rejects(store.commit(unit({ audits: [audit('b1'), audit('b2'), wrong] })));
  t.same(await findIds(store, all), ['a1'], 'this search indexes up to the numbers of the refused unit');
  const crashed = copyOf(t, folder);
  const after = await opened(t, crashed);
  await after.commit(unit({ audits: [audit('a2')] }));
  t.same(await findIds(after, all), ['a2', 'a1']);
});

t.test('a shared text is written again until a unit with it is durable', async (t) => {
  const { store, reopen } = await openTestStore(t);
  const wrong = audit('bad', { recordedMs: Number.NaN });
  await t.rejects(store.commit(unit({ audits: [inPieces('a1'), wrong] })));
  await store.commit(unit({ audits: [inPieces('a2')] }));
  await store.commit(unit({ writes: [write('f1', { index: [token('code', 'x')] })], audits: [inPieces('a3')] }));
  const again = await reopen();
  t.match(await again.read('AuditEvent', 'a2'), { resource: { body: inPieces('a2').body } });
  t.match(await again.read('AuditEvent', 'a3'), { resource: { body: inPieces('a3').body } });
});
