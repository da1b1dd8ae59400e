import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { openServerClock } from '../../../src/store/mongo/connection/server-clock.ts';
import { openCollections } from '../../../src/store/mongo/encoding/documents.ts';
import { audit, findIds, plan, readFound, unit, write } from '../../contract/fixtures.ts';
import { openMongoServer } from '../../support/mongo-server.ts';
import { openTestStore } from './open-test-store.ts';

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** Resolves with the first authority that is woken. */
function firstWoken(test: Test, watch: (wake: (authority: string) => void) => () => Promise<void>): Promise<string> {
  return new Promise((resolve) => {
    const stop = watch(resolve);
    test.teardown(stop);
  });
}

const server = await openMongoServer(t);
await t.test('commits of AuditEvents at one time go to the database together; a bad one fails alone', async (test) => {
  const groups: number[] = [];
  const { store } = await openTestStore(test, server, { onBatch: (audits) => groups.push(audits) });
  await store.commit(unit({ audits: [audit('a7')] }));
  const results = await Promise.all(
    Array.from({ length: 200 }, (_, i) => store.commit(unit({ audits: [audit(`a${i}`)] }))),
  );
  test.same(
    results.flatMap((result, i) => (result.kind === 'refused' ? [i] : [])),
    [7],
  );
  test.equal(
    groups.reduce((sum, size) => sum + size, 0),
    201,
  );
  test.ok(groups.length < 20, `${groups.length} groups`);
  test.equal((await store.search(plan([], { type: 'AuditEvent', limit: 0, total: true }))).total, 200);
});

await t.test('texts are looked for as they are: no sign of one means anything to the server', async (test) => {
  const { store } = await openTestStore(test, server);
  const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
  const signs = ascii.filter((sign) => !/[A-Za-z0-9]/.test(sign));
  const texts = ['a', 'ab', 'aab', '\\Qa\\E', '[a]', '(a|b)', 'a{2}', '^a', 'a$', ...signs.map((sign) => `a${sign}b`)];
  const string = (text: string) => ({ kind: 'string', param: 'name', normalised: text, exact: text }) as const;
  const writes = texts.map((text, i) => write(`t${String(i).padStart(3, '0')}`, { index: [string(text)] }));
  await store.commit(unit({ writes }));
  const idsOf = (isFound: (text: string) => boolean) =>
    writes.flatMap(({ id }, i) => (isFound(texts[i] ?? '') ? [id] : []));
  for (const text of texts) {
    const find = (match: 'starts' | 'contains') =>
      findIds(store, plan([{ kind: 'string', param: 'name', match, any: [text] }], { limit: 500 }));
    test.same(
      await find('contains'),
      idsOf((each) => each.includes(text)),
      JSON.stringify(text),
    );
    test.same(
      await find('starts'),
      idsOf((each) => each.startsWith(text)),
      JSON.stringify(text),
    );
  }
  const long = plan([{ kind: 'string', param: 'name', match: 'contains', any: ['a'.repeat(2_001)] }]);
  await test.rejects(store.search(long), new FhirFault('invalid', []));
  test.same(
    await findIds(store, plan([{ kind: 'string', param: 'name', match: 'starts', any: ['a'.repeat(9_000)] }])),
    [],
  );
});

await t.test('both ends of an interval are compared with the same date, however many a resource has', async (test) => {
  const { store } = await openTestStore(test, server);
  const dates = Array.from(
    { length: 20 },
    (_, i) => ({ kind: 'date', param: 'date', startMs: 10 * i, endMs: 10 * i + 5 }) as const,
  );
  test.same(await store.commit(unit({ writes: [write('f1', { index: dates })] })), { kind: 'committed' });
  const findEqual = (startMs: number, endMs: number) =>
    findIds(store, plan([{ kind: 'date', param: 'date', any: [{ prefix: 'eq', startMs, endMs }] }]));
  test.same(await findEqual(70, 75), ['f1']);
  test.same(await findEqual(190, 195), ['f1']);
  test.same(await findEqual(71, 79), [], 'the start of one and the end of another are not enough');
});

await t.test(
  'two servers on one database: one sees what the other wrote, and is woken for deliveries that the other left',
  async (test) => {
    const one = await openTestStore(test, server);
    const other = await openTestStore(test, server, { url: one.url });
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, i) =>
        (i % 2 === 0 ? one : other).store.commit(unit({ writes: [write('f1', { body: String(i) })] })),
      ),
    );
    test.equal(results.filter(({ kind }) => kind === 'committed').length, 1);
    test.equal((await readFound(one.store, 'Flag', 'f1')).body, (await readFound(other.store, 'Flag', 'f1')).body);
    const uses = await Promise.all([one, other, one, other].map(({ store }) => store.useOnce('jti', 9e12, Date.now())));
    test.equal(uses.filter(Boolean).length, 1);

    const { watch } = other.store.deliveries;
    if (watch === undefined) throw new Error('this store watches');
    const woken = firstWoken(test, watch);
    await one.store.commit(unit({ audits: [audit('a1', { deliverTo: ['E1'] })] }));
    test.equal(await woken, 'E1');
    const nowMs = Date.now();
    const [leased] = await one.store.deliveries.claim('E1', 1, nowMs, nowMs + 200);
    test.equal(leased?.auditId, 'a1');
    test.equal(await firstWoken(test, watch), 'E1', 'the lease has run out');
    const [taken] = await other.store.deliveries.claim('E1', 1, Date.now() + 200, nowMs + 60_000);
    test.equal(taken?.auditId, 'a1');
    test.same(await findIds(other.store, plan([], { type: 'AuditEvent' })), ['a1']);

    const { watchResources } = other.store;
    if (watchResources === undefined) throw new Error('this store watches');
    const notified: string[] = [];
    const stop = await watchResources('Subscription', (labels) => notified.push(...labels));
    const owned = write('s1', { type: 'Subscription', labels: ['owner:E1'] });
    await one.store.commit(unit({ writes: [owned] }));
    await until(() => notified.includes('owner:E1'));
    const gone = { type: 'Subscription', version: 2, body: null, labels: ['owner:gone'] };
    await one.store.commit(unit({ writes: [write('s1', gone)] }));
    await until(() => notified.includes('owner:gone'));
    await stop();
    test.same(notified, ['owner:E1', 'owner:gone']);
  },
);

await t.test('what conditional creates conflict on is removed by the server in time', async (test) => {
  const { store, url } = await openTestStore(test, server);
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  const ifNoneExist = plan([{ kind: 'id', any: ['none'] }]);
  await store.commit(unit({ writes: [write('f1', { ifNoneExist })] }));
  const { condition } = openCollections(client.db());
  const [used] = await condition.find().toArray();
  test.ok(used?.usedAt instanceof Date);
  const indexes = await condition.listIndexes().toArray();
  test.match(
    indexes.find(({ key }) => key.usedAt === 1),
    { expireAfterSeconds: 3_600 },
  );
});

await t.test('leases run by the clock of the database when the clocks differ', async (test) => {
  for (const [differenceMs, offsetMs] of [
    [400, 0],
    [-400, 0],
    [90_000, 90_000],
    [-90_000, -90_000],
  ] as const) {
    let nowMs = 5_000_000;
    const now = () => {
      nowMs += 10;
      return nowMs;
    };
    const db = { command: async () => ({ localTime: new Date(nowMs + 5 + differenceMs) }) };
    const clock = await openServerClock(db, now);
    test.equal(clock.toServer(1_000_000), 1_000_000 + offsetMs);
    test.equal(clock.toLocal(clock.toServer(1_234)), 1_234);
    clock.stop();
  }
});
await t.test('a unit over several documents is a transaction: all or nothing among others', async (test) => {
  const { store } = await openTestStore(test, server);
  await store.commit(unit({ writes: [write('p1', { type: 'Patient' })] }));
  const results = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      store.commit(
        unit({
          writes: [write(`f${i}`, { uniqueKeys: [`k${i % 4}`] })],
          guards: [{ type: 'Patient', id: 'p1', expectRevision: 1 }],
          audits: [audit(`a${i}`, { deliverTo: ['E1'] })],
        }),
      ),
    ),
  );
  test.equal(results.filter(({ kind }) => kind === 'committed').length, 1);
  test.match(await readFound(store, 'Patient', 'p1'), { revision: 2 });
  test.equal((await store.search(plan([], { limit: 0, total: true }))).total, 1);
  test.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: 1 }]);
});

await t.test('a use deletes expired keys, a bounded number at a time', async (test) => {
  const { store, url } = await openTestStore(test, server);
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  const { usedOnce } = openCollections(client.db());
  await usedOnce.insertMany(Array.from({ length: 2_500 }, (_, i) => ({ _id: `old${i}`, expiresAtMs: i, use: 'x' })));
  const left: number[] = [];
  for (const key of ['k1', 'k2', 'k3', 'k4']) {
    test.equal(await store.useOnce(key, 9e12, 1_000_000), true);
    left.push(await usedOnce.countDocuments());
  }
  test.same(left, [1_501, 502, 3, 4]);
});

await t.test('a change stream wakes for what nobody could find by looking: it is not due yet', async (test) => {
  const one = await openTestStore(test, server);
  const { watch } = (await openTestStore(test, server, { url: one.url })).store.deliveries;
  if (watch === undefined) throw new Error('this store watches');
  let woken: string | undefined;
  test.teardown(
    watch((authority) => {
      woken = authority;
    }),
  );
  // The stream may open after the first of them.
  for (let count = 0; woken === undefined; count++) {
    await one.store.commit(unit({ audits: [audit(`a${count}`, { recordedMs: 9e12, deliverTo: ['E1'] })] }));
  }
  test.equal(woken, 'E1');
});
