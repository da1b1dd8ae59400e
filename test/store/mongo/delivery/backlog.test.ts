/** A backlog of any length costs the start, the alarms, the metrics and the dispatcher the same. */
import { type CommandStartedEvent, type Document, MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { openQueueIndex } from '../../../../src/store/mongo/delivery/queue-index.ts';
import { maxCounted, readBacklog, readClaimable } from '../../../../src/store/mongo/delivery/read-backlog.ts';
import { tallyText, taskText } from '../../../../src/store/mongo/encoding/delivery-place.ts';
import { type Collections, openCollections } from '../../../../src/store/mongo/encoding/documents.ts';
import { encodeAudit } from '../../../../src/store/mongo/encoding/encode-unit.ts';
import { openMongoStore } from '../../../../src/store/mongo/open-mongo-store.ts';
import type { Store } from '../../../../src/store/store.ts';
import { audit, unit } from '../../../contract/fixtures.ts';
import { openMongoServer } from '../../../support/mongo-server.ts';
import { waitUntil } from '../../../support/wait-until.ts';
import { openTestStore } from '../open-test-store.ts';

const server = await openMongoServer(t);
const nowMs = 1_000_000;

function connect(test: Test, url: string) {
  const client = new MongoClient(url, { monitorCommands: true });
  test.teardown(() => client.close());
  return { client, collections: openCollections(client.db()) };
}

/** Inserts undelivered events as an older server did, which wrote no counts. */
async function seed({ audit: audits }: Collections, events: number, authorities: readonly string[]): Promise<void> {
  const insertFrom = async (first: number): Promise<void> => {
    const page = Array.from({ length: Math.min(5_000, events - first) }, (_, index) => {
      const id = `seed${first + index}`;
      const recordedMs = first + index;
      const deliverTo = [authorities[index % authorities.length] ?? ''];
      return encodeAudit(audit(id, { recordedMs, deliverTo, body: '{}' }), id, recordedMs);
    });
    await audits.insertMany(page, { ordered: false, writeConcern: { w: 'majority' } });
  };
  for (let first = 0; first < events; first += 5_000) await insertFrom(first);
}

async function fail(store: Store, authority: string, claims: number, park: boolean): Promise<void> {
  for (const claimed of await store.deliveries.claim(authority, claims, nowMs, nowMs + 60_000)) {
    const settlement = { kind: 'failed', reason: 'status-503', acknowledgedBy: [], spendAttempt: true } as const;
    await store.deliveries.settle(claimed, { ...settlement, dueMs: nowMs + 1_000, park });
  }
}

await t.test('200,000 undelivered events: a server starts, reads and delivers, and counts them all', async (test) => {
  const url = server.newDatabaseUrl();
  const first = await openMongoStore({ url, timeoutMs: 60_000, onError: (error) => test.error(error) });
  await first.close();
  const { collections } = connect(test, url);
  await seed(collections, 200_000, ['E1']);
  // A limit that reading the events themselves would exceed.
  const { store } = await openTestStore(test, server, { url, timeoutMs: 2_000 });
  const [row] = await store.deliveries.backlog();
  test.match(row, { authority: 'E1', leased: 0, parked: 0, oldestRecordedMs: 0, nextDueMs: 0, delivered: 0 });
  test.ok((row?.undelivered ?? 0) >= maxCounted, 'at least what was counted');
  test.match(await store.deliveries.claim('E1', 2, nowMs, nowMs + 9_000), [{ auditId: 'seed0' }, { auditId: 'seed1' }]);
  await waitUntil('all are counted', async () => (await store.deliveries.backlog())[0]?.undelivered === 200_000);
  await store.commit(unit({ audits: [audit('a1', { recordedMs: 9e5, deliverTo: ['E1'] })] }));
  const [claimed] = await store.deliveries.claim('E1', 1, nowMs, nowMs + 9_000);
  if (claimed === undefined) throw new Error('one is due');
  await store.deliveries.settle(claimed, { kind: 'delivered', acknowledgedBy: [], atMs: nowMs });
  const [later] = await store.deliveries.backlog();
  test.match(later, { undelivered: 200_000, delivered: 1, leased: 2 }, 'one came and one went');
});

/** Adds up a number wherever a plan has it: at the top, and in each part of a union. */
function sumOf(plan: unknown, name: string): number {
  if (typeof plan !== 'object' || plan === null) return 0;
  return Object.entries(plan).reduce((sum, [key, value]) => {
    return sum + (key === name && typeof value === 'number' ? value : sumOf(value, name));
  }, 0);
}

/** Returns the commands that the work sends, with what the database examines for each, by `explain`. */
async function examined(test: Test, url: string, work: (collections: Collections) => Promise<unknown>) {
  const { client, collections } = connect(test, url);
  const commands: Document[] = [];
  const note = ({ commandName, command }: CommandStartedEvent): void => {
    if (['find', 'aggregate'].includes(commandName)) commands.push({ ...command });
  };
  client.on('commandStarted', note);
  await work(collections);
  client.off('commandStarted', note);
  let documents = 0;
  let keys = 0;
  for (const { lsid: _lsid, $clusterTime: _time, $db: _db, ...command } of commands) {
    const explain = { ...command, ...('pipeline' in command ? { cursor: {} } : {}) };
    const { command: _echo, ...plan } = await client.db().command({ explain, verbosity: 'executionStats' });
    // The counts are one document for each authority.
    const isOfQueue = command['find'] !== 'delivery_count';
    const isSlow = isOfQueue && /"stage":"SORT"|"\$sort"|COLLSCAN/.test(JSON.stringify(plan));
    if (isSlow) test.fail(`sorts or scans: ${JSON.stringify(command)}`);
    const sum = (name: string): number => sumOf(plan, name);
    documents += sum('totalDocsExamined');
    keys += sum('totalKeysExamined');
  }
  return { commands: commands.length, documents, keys };
}

await t.test('explain: what is examined does not grow with the backlog, and nothing is sorted', async (test) => {
  const open = async (events: number) => {
    const { store, url } = await openTestStore(test, server);
    const { collections } = connect(test, url);
    await seed(collections, events, ['E1', 'E2', 'E3']);
    await fail(store, 'E1', 3, false);
    await fail(store, 'E1', 2, true);
    await store.deliveries.claim('E2', 4, nowMs, nowMs + 60_000);
    await store.close();
    return url;
  };
  const clock = { toLocal: (ms: number) => ms };
  const works = {
    backlog: (collections: Collections) => readBacklog(collections, clock, 60_000),
    claimable: (collections: Collections) => readClaimable(collections, nowMs, 60_000),
    seeks: async (collections: Collections) => {
      const queue = openQueueIndex(collections, 60_000);
      await queue.oldest(taskText('ready', 'E1'), 'E1');
      await queue.nextMs('waiting', 'E1');
      await queue.count(tallyText('owed', 'E1'), 10);
      await queue.listAuthorities(['E1', 'E2', 'E3']);
    },
  };
  const [few, many] = [await open(1_500), await open(15_000)];
  for (const [name, work] of Object.entries(works)) {
    const [ofFew, ofMany] = [await examined(test, few, work), await examined(test, many, work)];
    test.same(ofMany, ofFew, name);
    test.ok(ofFew.documents > 0, name);
  }
});

await t.test(
  'unmatched and ready deliveries are requeued at a cost that their number does not change',
  async (test) => {
    const { store, url } = await openTestStore(test, server);
    const { client, collections } = connect(test, url);
    await seed(collections, 15_000, ['E1']);
    for (const claimed of await store.deliveries.claim('E1', 300, nowMs, nowMs + 60_000)) {
      await store.deliveries.settle(claimed, { kind: 'unmatched', atMs: nowMs + Number(claimed.recordedMs) });
    }
    const { audit: audits } = collections;
    await client.db().command({ profile: 2 });
    test.equal(await store.deliveries.requeue('E1', nowMs + 500, 'unmatched', 10), 10);
    test.equal(await store.deliveries.requeue('E1', nowMs, 'waiting', 10), 0);
    await client.db().command({ profile: 0 });
    const profiled = await client.db().collection('system.profile').find({ ns: audits.namespace }).toArray();
    const most = (filter: (entry: Document) => boolean): number =>
      Math.max(...profiled.filter(filter).map((entry) => entry['docsExamined'] ?? 0));
    test.ok(most(({ op, command }) => op === 'query' && command['limit'] === 10) <= 10, 'a page of the unmatched');
    test.ok(most(() => true) <= 10_000, 'an end of the queue');
    test.match(await store.deliveries.claim('E1', 1, nowMs, nowMs + 9_000), [{ auditId: 'seed0' }], 'earliest first');
  },
);

await t.test('counts that a killed server did not write are corrected', async (test) => {
  const { store, url } = await openTestStore(test, server);
  const { collections } = connect(test, url);
  await seed(collections, 100, ['E1']);
  test.match(await store.deliveries.backlog(), [{ undelivered: 100 }], 'a short backlog is exact at once');
  const count = () => collections.deliveryCount.findOne({ _id: 'E1' });
  await waitUntil('the count is written', async () => (await count())?.owed === 100);
  await collections.deliveryCount.updateOne({ _id: 'E1' }, { $set: { owed: 7_000, parked: 50 } });
  test.match(await store.deliveries.backlog(), [{ undelivered: 100, parked: 0 }]);
  await waitUntil('the count is corrected', async () => (await count())?.owed === 100);
  test.match(await count(), { parked: 0 });
});
