/** Past versions have a collection of their own. */
import { type Document, MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import type { HistoryPlan } from '../../../src/store/history.ts';
import { openCollections, type PastVersion } from '../../../src/store/mongo/encoding/documents.ts';
import { openMongoImport } from '../../../src/store/mongo/import/open-mongo-import.ts';
import { openMongoStore } from '../../../src/store/mongo/open-mongo-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { readFound, unit, write } from '../../contract/fixtures.ts';
import { openMongoServer } from '../../support/mongo-server.ts';
import { openTestStore } from './open-test-store.ts';

const server = await openMongoServer(t);
const labels = ['owner:a'];
const scopes = [{ type: 'Flag', now: labels, written: labels }];

function connect(test: Test, url: string) {
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  return { db: client.db(), collections: openCollections(client.db()) };
}

async function namesOf(store: Store, plan: Partial<HistoryPlan> = {}): Promise<string[]> {
  const { entries } = await store.history({ scopes, limit: 10_000, total: false, ...plan });
  return entries.map(({ id, version }) => `${id}/${version}`);
}

const past = (version: number, body: string | null = `{"version":${version}}`): PastVersion => {
  return { version, lastUpdatedMs: 100 * version, method: body === null ? 'DELETE' : 'PUT', labels, body };
};

/** Brings resources into the form of schema version 2, which had all versions in the document. */
async function formerly(test: Test, url: string, versions: Readonly<Record<string, readonly PastVersion[]>>) {
  const { collections } = connect(test, url);
  const { resource, schema } = collections;
  for (const [id, earlier] of Object.entries(versions)) {
    const version = earlier.length + 1;
    const marks = earlier.map((each) => ({
      version: each.version,
      ms: each.lastUpdatedMs,
      deleted: each.body === null,
    }));
    const bodyBytes = earlier.reduce((sum, { body }) => sum + (body?.length ?? 0), 0);
    const former: Document = { versions: earlier, marks, bodyBytes, version, lastUpdatedMs: 100 * version };
    await resource.updateOne({ _id: `Flag/${id}` }, { $set: former });
  }
  await schema.updateOne({ _id: 'store' }, { $set: { version: 2 } });
  return collections;
}

async function seed(test: Test, ids: readonly string[]): Promise<string> {
  const url = server.newDatabaseUrl();
  const store = await openMongoStore({ url, timeoutMs: 60_000, onError: (error) => test.error(error) });
  await store.commit(unit({ writes: ids.map((id) => write(id, { labels, lastUpdatedMs: 100 })) }));
  await store.close();
  return url;
}

const numbers = (count: number) => Array.from({ length: count }, (_, index) => index + 1);

await t.test(
  'a start moves the versions of schema version 2, however large; two servers may do so at once',
  async (test) => {
    const ids = numbers(450).map((number) => `f${String(number).padStart(3, '0')}`);
    const url = await seed(test, ids);
    const large = numbers(1_000).map((version) => past(version, version === 500 ? null : 'x'.repeat(11_000)));
    const versions = { ...Object.fromEntries(ids.map((id) => [id, [past(1)]])), f001: large, f002: [], f300: large };
    const { resource, version, schema } = await formerly(test, url, versions);
    const [{ store }, other] = await Promise.all([
      openTestStore(test, server, { url, timeoutMs: 5_000 }),
      openTestStore(test, server, { url }),
    ]);
    test.same(await schema.findOne({ _id: 'store' }), { _id: 'store', version: 3 });
    const left = {
      $or: [{ versions: { $exists: true } }, { marks: { $exists: true } }, { bodyBytes: { $exists: true } }],
    };
    test.equal(await resource.countDocuments(left), 0);
    test.equal(await version.countDocuments(), 2 * 1_000 + 447);
    test.match(await store.readVersion('Flag', 'f001', 1), { kind: 'found', resource: { body: large[0]?.body } });
    test.match(await store.readVersion('Flag', 'f300', 500), { kind: 'deleted', labels });
    test.match(await store.readVersion('Flag', 'f001', 1_001), { kind: 'found', resource: { version: 1_001 } });
    test.equal((await namesOf(store, { id: 'f001' })).length, 1_001);
    test.same(await namesOf(store, { id: 'f002' }), ['f002/1']);
    const next = write('f001', { labels, version: 1_002, lastUpdatedMs: 200_000 });
    test.same(await other.store.commit(unit({ writes: [next] })), { kind: 'committed' });
    test.match(await store.readVersion('Flag', 'f001', 1_001), { kind: 'found', resource: { revision: 0 } });
  },
);

await t.test('a move that was interrupted goes on, and does not begin again', async (test) => {
  const url = await seed(test, ['f1', 'f2', 'f3']);
  const { resource, version, schema } = await formerly(test, url, {
    f1: [past(1)],
    f2: [past(1), past(2)],
    f3: [past(1)],
  });
  // f1 is left as it is, to show where it went on. The versions of f2 had been copied, and not removed.
  await schema.updateOne({ _id: 'store' }, { $set: { movedThrough: 'Flag/f1' } });
  const copied = { _id: 'Flag/f2!0000000001', type: 'Flag', id: 'f2', deleted: false, ...past(1) };
  await version.insertOne(copied);
  const { store } = await openTestStore(test, server, { url });
  test.same(await namesOf(store, { id: 'f2' }), ['f2/3', 'f2/2', 'f2/1']);
  test.same(await namesOf(store, { id: 'f3' }), ['f3/2', 'f3/1']);
  test.equal(await resource.countDocuments({ 'versions.0': { $exists: true } }), 1);
});

await t.test('versions that an older server still writes into a resource are kept by the next write', async (test) => {
  const { store, url } = await openTestStore(test, server);
  await store.commit(unit({ writes: [write('f1', { labels, lastUpdatedMs: 100 })] }));
  await formerly(test, url, { f1: [past(1), past(2)] });
  await store.commit(unit({ writes: [write('f1', { labels, version: 4, lastUpdatedMs: 400 })] }));
  test.same(await namesOf(store, { id: 'f1' }), ['f1/4', 'f1/3', 'f1/2', 'f1/1']);
  const { collections } = connect(test, url);
  test.equal(await collections.resource.countDocuments({ versions: { $exists: true } }), 0);
});

await t.test('a copied resource may have any amount of versions, and one that differs is noticed', async (test) => {
  const url = server.newDatabaseUrl();
  const target = await openMongoImport({ url, timeoutMs: 60_000 }, 'a source');
  test.teardown(() => target.close());
  const versions = numbers(20).map((version) => past(version, String(version % 10).repeat(1024 * 1024)));
  const record = { type: 'Flag', id: 'f1', revision: 20, labels, versions, index: [], uniqueKeys: ['k'] };
  await target.write('resource', [record], ['Flag', 'f1']);
  const expected = target.expected('resource', [{ record, position: ['Flag', 'f1'] }]);
  test.equal(expected.count, 1);
  test.same(await target.held('resource'), expected);
  const { collections } = connect(test, url);
  await collections.version.updateOne({ _id: 'Flag/f1!0000000007' }, { $set: { body: '{}' } });
  test.not((await target.held('resource')).hash, expected.hash);
});

await t.test('a unit that is refused or fails leaves no past version', async (test) => {
  const { store, url } = await openTestStore(test, server);
  await store.commit(unit({ writes: [write('f1', { labels }), write('f2', { labels, uniqueKeys: ['k'] })] }));
  const second = write('f1', { labels, version: 2 });
  const refused = unit({ writes: [second, write('f3', { uniqueKeys: ['k'] })] });
  test.match(await store.commit(refused), { kind: 'refused', reason: 'duplicate-key' });
  const racing = await Promise.all(
    numbers(8).map((each) => store.commit(unit({ writes: [{ ...second, body: `{"by":${each}}` }] }))),
  );
  test.equal(racing.filter(({ kind }) => kind === 'committed').length, 1);
  const { collections } = connect(test, url);
  test.same(await collections.version.distinct('_id'), ['Flag/f1!0000000001']);
  test.match(await readFound(store, 'Flag', 'f1'), { version: 2 });
});

await t.test(
  'a version and a page of a history examine no more than they return, whatever was written',
  async (test) => {
    const { store, url } = await openTestStore(test, server);
    const { db, collections } = connect(test, url);
    const { version } = collections;
    await store.commit(
      unit({ writes: ['f1', 'f1-b', 'f1.b', 'f2'].map((id) => write(id, { labels, lastUpdatedMs: 9e6 })) }),
    );
    await version.insertMany(
      ['f1', 'f1-b', 'f1.b', 'f2'].flatMap((id) =>
        numbers(1_500).map((number) => ({
          _id: `Flag/${id}!${String(number).padStart(10, '0')}`,
          type: 'Flag',
          id,
          deleted: false,
          ...past(number),
          labels: [...labels, 'viewer:b'],
        })),
      ),
    );
    await collections.resource.updateMany({}, { $set: { version: 1_501 } });
    const two = [{ type: 'Flag', now: labels, written: [...labels, 'viewer:b'] }];
    await db.command({ profile: 2 });
    test.match(await store.readVersion('Flag', 'f1', 7), { kind: 'found' });
    const instance = await store.history({ scopes, id: 'f1', limit: 20, total: false, after: [800] });
    test.same([instance.entries[0]?.version, instance.next], [799, [780]]);
    const type = await store.history({ scopes: two, limit: 150, total: false, after: [80_000, 'Flag/f1-b', 800] });
    test.match(type.entries.slice(0, 3), [
      { id: 'f1', version: 800 },
      { id: 'f2', version: 799 },
      { id: 'f1.b', version: 799 },
    ]);
    await db.command({ profile: 0 });
    const profiled = await db.collection('system.profile').find({ ns: version.namespace }).toArray();
    test.ok(profiled.length >= 5, 'one read, and a list and its versions for each page');
    for (const { docsExamined, nreturned, hasSortStage, planSummary, keysExamined } of profiled) {
      test.ok(docsExamined <= nreturned + 4, `${planSummary}: ${docsExamined} examined, ${nreturned} returned`);
      test.ok(keysExamined <= 2 * nreturned + 10, `${planSummary}: ${keysExamined} keys, ${nreturned} returned`);
      test.notOk(hasSortStage, planSummary);
    }
  },
);
