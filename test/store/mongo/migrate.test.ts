import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import type { AuditEvent, Bundle, Flag } from 'fhir/r4.js';
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { migrateFolder } from '../../../src/migration/migrate-folder.ts';
import { openSqliteStore } from '../../../src/store/sqlite/open-sqlite-store.ts';
import type { Store } from '../../../src/store/store.ts';
import { environmentWithoutSettings } from '../../../src/synthetic/cpis-process.ts';
import { type FhirClient, openFhirClient } from '../../../src/synthetic/fhir-client.ts';
import { audit, plan, token, unit, write } from '../../contract/fixtures.ts';
import { openMongoServer } from '../../support/mongo-server.ts';
import { openReceiver, type Receiver } from '../../support/receiver.ts';
import { makeServerHome, type ServerHome, startServerProcess } from '../../support/server-process.ts';
import { freshPlan, resourcesOf, submit } from '../../support/submissions.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { openTestStore } from './open-test-store.ts';

const mongo = await openMongoServer(t);
const program = fileURLToPath(new URL('../../../bin/cpis.js', import.meta.url));

interface Run {
  readonly code: number | null;
  readonly err: string;
}

/** Runs `cpis migrate`; kill -9 as soon as its output holds `killOn`. */
async function migrate(url: string, folder: string, killOn?: string): Promise<Run> {
  const args = [program, 'migrate', '--from', folder, '--to', url, '--page', '7'];
  const child = spawn(process.execPath, args, { env: environmentWithoutSettings() });
  let err = '';
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString();
    if (killOn !== undefined && err.includes(killOn)) child.kill('SIGKILL');
  });
  const [code] = await once(child, 'close');
  return { code, err };
}

function clientsOf({ baseUrl, registry }: ServerHome) {
  const open = (client: Parameters<typeof openFhirClient>[1]) => openFhirClient(baseUrl, client);
  return { authorities: registry.authorities.map(open), careProviders: registry.careProviders.map(open) };
}

function subscription(endpoint: string, topic: boolean): object {
  const backport = 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition';
  return {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'access to own plans',
    criteria: 'AuditEvent?',
    channel: { type: 'rest-hook', endpoint, payload: 'application/fhir+json' },
    ...(topic ? { meta: { profile: [`${backport}/backport-subscription`] } } : {}),
  };
}

async function create(client: FhirClient, resource: object): Promise<void> {
  const { status, body } = await client.request('POST', 'Subscription', resource);
  if (status !== 201) throw new Error(`${status}: ${JSON.stringify(body)}`);
}

/** The notified AuditEvents, by id. */
function idsOf(receiver: Receiver, since = 0): string[] {
  return [
    ...new Set(receiver.received.slice(since).map(({ body }) => (JSON.parse(body) as AuditEvent).id ?? '')),
  ].sort();
}

/** What a client is answered, without what each answer has of its own. */
async function answersOf(client: FhirClient, paths: readonly string[]): Promise<string[]> {
  const answers: string[] = [];
  for (const path of paths) {
    const { status, body } = await client.request<Bundle>('GET', path);
    const { id, meta, link, ...rest } = body;
    answers.push(`${path.split('/')[0]} ${status} ${JSON.stringify(rest)}`);
  }
  return answers;
}

async function copies(test: Test): Promise<void> {
  const [good, refusing] = [await openReceiver(), await openReceiver()];
  refusing.behave({ kind: 'answer', status: 500 });
  test.teardown(() => Promise.all([good.close(), refusing.close()]));
  const home = await makeServerHome({
    subscriptionOrigins: [good.origin, refusing.origin],
    settings: { CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true' },
  });
  test.teardown(() => home.remove());
  const { authorities, careProviders } = clientsOf(home);
  const [one, two] = authorities as [FhirClient, FhirClient];
  const [epr] = careProviders as [FhirClient];
  const folder = home.settings['CPIS_DATA_FOLDER'] ?? '';

  const embedded = await startServerProcess(home);
  test.teardown(() => embedded.kill());
  await create(one, subscription(`${good.origin}/events`, false));
  await create(two, subscription(`${refusing.origin}/events`, false));
  const plans = [freshPlan(), freshPlan(), freshPlan()];
  const [flagId = '', withdrawnId = ''] = await submit(one, ...plans);
  await submit(one, { ...plans[0], end: '2026-01-31' } as (typeof plans)[0]);
  const otherPlans = plans.map(({ nhsNumber }) => freshPlan({ nhsNumber }));
  await submit(two, ...otherPlans);
  test.match(await one.request('DELETE', `Flag/${withdrawnId}`), { status: /^2/ });
  for (const { nhsNumber } of plans) for (let i = 0; i < 4; i++) await epr.request('GET', `Flag?patient=${nhsNumber}`);
  const mine = `AuditEvent?_count=200&date=lt${new Date(Date.now() + 1).toISOString()}&_sort=date`;
  const questions = [
    ...plans.map(({ nhsNumber }) => `Flag?patient=${nhsNumber}`),
    `Flag/${flagId}/_history`,
    `Flag/${flagId}/_history/1`,
    `Flag/${withdrawnId}`,
    'Flag?_summary=count',
  ];
  const before = {
    one: await answersOf(one, questions),
    two: await answersOf(two, questions),
    audits: await answersOf(one, [mine]),
  };
  test.match(before.one, [/200/, /200/, /200/, /200/, /200/, /410/, /200/]);
  const { delivered, owed } = await settled(good, refusing, home);
  test.ok(owed > 0 && delivered > 0);
  test.match(await migrate(mongo.newDatabaseUrl(), folder), { code: 2, err: /in use by another process/ });
  await embedded.stop();
  const sentBefore = good.received.length;

  const url = mongo.newDatabaseUrl();
  const killed = await migrate(url, folder, 'audit events: 7 of');
  test.equal(killed.code, null);
  test.notMatch(killed.err, 'verified');
  const onMongo = {
    ...home,
    settings: { ...home.settings, CPIS_MONGODB_URL: url },
  };
  await test.rejects(startServerProcess(onMongo), /copy into this database is not complete/);
  const done = await migrate(url, folder);
  test.match(done, { code: 0, err: /The copy is complete and identical/ });
  test.notMatch(done.err, 'audit events: 7 of', 'it went on where it was');
  test.notMatch(done.err, plans[0]?.nhsNumber);
  test.match(await migrate(url, folder), { code: 2, err: /already complete/ });

  refusing.behave({ kind: 'answer', status: 200 });
  const refusedBefore = refusing.received.length;
  const server = await startServerProcess(onMongo);
  test.teardown(() => server.kill());
  const after = {
    one: await answersOf(one, questions),
    two: await answersOf(two, questions),
    audits: await answersOf(one, [mine]),
  };
  test.strictSame(after, before);
  const { body } = await epr.request<Bundle>('GET', `AuditEvent?patient=${plans[1]?.nhsNumber}`);
  test.ok((body.entry ?? []).length >= 4);
  const operator = openFhirClient(home.baseUrl, home.registry.operator);
  const organization = `Organization/${home.registry.authorities[1]?.organisationId}`;
  const parameters = { resourceType: 'Parameters' };
  test.match(await operator.request('POST', `${organization}/$replay-deliveries`, parameters), { status: 200 });
  await waitUntil('all that is owed', () => idsOf(refusing, refusedBefore).length >= owed);
  test.equal(idsOf(good, sentBefore).length, 0, 'what was delivered is not sent again');
  await submit(one, freshPlan());
  const seen = resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${plans[2]?.nhsNumber}`));
  test.ok(seen.length > 0);
  await waitUntil('a notification', () => idsOf(good, sentBefore).length === 1);
  await server.stop();
}

/** Waits until one is delivered everything, and gives how many that are, and how many the other is owed. */
async function settled(
  good: Receiver,
  refusing: Receiver,
  home: ServerHome,
): Promise<{ delivered: number; owed: number }> {
  const count = (): { one: number; delivered: number; owed: number } => {
    const db = new DatabaseSync(home.storeFile, { readOnly: true });
    try {
      const numberOf = (sql: string): number => Number(db.prepare(sql).get()?.['n']);
      const [a, b] = home.registry.authorities.map(({ organisationId }) => organisationId);
      return {
        one: numberOf(`SELECT count(*) n FROM delivery WHERE authority = '${a}' AND ready < 2`),
        delivered: numberOf(`SELECT count(*) n FROM delivered WHERE authority = '${a}'`),
        owed: numberOf(`SELECT count(*) n FROM delivery WHERE authority = '${b}' AND ready < 2`),
      };
    } finally {
      db.close();
    }
  };
  await waitUntil('one authority has everything', () => count().one === 0 && refusing.received.length > 0);
  const { delivered, owed } = count();
  if (idsOf(good).length < delivered) throw new Error('more is delivered than was received');
  return { delivered, owed };
}

/** Copies every state that a store can hold, and reads the same from both. */
async function copiesEveryState(test: Test): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-migrate-'));
  test.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const onFatal = (error: Error): never => {
    throw error;
  };
  const nowMs = Date.now();
  const embedded = await openSqliteStore({ folder, onFatal });
  const flag = (version: number, more = {}) =>
    write('f1', { version, labels: [`owner:E${version}`], index: [token('status', 'active', 'urn:s')], ...more });
  await embedded.commit(unit({ writes: [flag(1, { uniqueKeys: ['k1'] })] }));
  await embedded.commit(unit({ writes: [flag(2, { uniqueKeys: ['k2'] })] }));
  await embedded.commit(unit({ guards: [{ type: 'Flag', id: 'f1', expectRevision: 2, labels: ['owner:E9'] }] }));
  await embedded.commit(unit({ writes: [write('f2')] }));
  await embedded.commit(
    unit({ writes: [write('f2', { version: 2, body: null, method: 'DELETE', labels: ['gone'] })] }),
  );
  const pieces = ['{"a":', { text: '"shared"' }, '}'];
  const audits = Array.from({ length: 8 }, (_, i) =>
    audit(`a${i}`, { recordedMs: nowMs - 1_000, deliverTo: ['E1', 'E2'], body: '{"a":"shared"}', pieces }),
  );
  await embedded.commit(unit({ audits }));
  const queue = embedded.deliveries;
  const [a, b, c, d, e] = await queue.claim('E1', 5, nowMs, nowMs + 60_000);
  const failed = { kind: 'failed', dueMs: nowMs + 600_000, reason: 'status-503', spendAttempt: true } as const;
  if (a && b && c && d) {
    await queue.settle(a, { kind: 'delivered', acknowledgedBy: ['s1'], atMs: nowMs });
    await queue.settle(b, { ...failed, acknowledgedBy: ['s2'] });
    await queue.settle(c, { ...failed, acknowledgedBy: [], park: true });
    await queue.settle(d, { kind: 'unmatched', atMs: nowMs });
  }
  test.ok(e, 'and one is leased');
  await queue.recordBreach({ authority: 'E1', kind: 'parked', oldestRecordedMs: 5, atMs: 9, undelivered: 2 });
  await embedded.subscriptionEvents.append('s1', ['a3', 'a1', 'a2']);
  await embedded.subscriptionEvents.acknowledge('s1', 2);
  await embedded.useOnce('jti', nowMs + 300_000, nowMs);

  const readAll = async (store: Store) => {
    const searched = [
      { kind: 'token', param: 'status', negated: false, any: [{ system: 'urn:s', code: 'active' }] },
    ] as const;
    const scopes = [{ type: 'Flag', now: ['owner:E9', 'gone'], written: ['owner:E1'] }];
    const waiting = await store.deliveries.claim('E1', 9, nowMs + 700_000, nowMs + 800_000);
    return {
      flag: await store.read('Flag', 'f1'),
      first: await store.readVersion('Flag', 'f1', 1),
      gone: await store.read('Flag', 'f2'),
      found: await store.search(plan([{ kind: 'label', any: ['owner:E9'] }, ...searched])),
      history: await store.history({ scopes, limit: 9, total: true }),
      audits: await store.search(plan([], { type: 'AuditEvent', limit: 20, total: true })),
      ofPatient: (await store.search(plan([], { type: 'AuditEvent', limit: 20 }))).matches.length,
      owed: await store.deliveries.owed('E1', 20),
      breaches: await store.deliveries.breaches(5),
      numbered: await store.subscriptionEvents.range('s1', 1, 9, 9),
      acknowledged: await store.subscriptionEvents.acknowledged('s1'),
      once: await store.useOnce('jti', nowMs + 300_000, nowMs),
      taken: await store.commit(unit({ writes: [write('f3', { uniqueKeys: ['k2'] })] })),
      free: await store.commit(unit({ writes: [write('f4', { uniqueKeys: ['k1'] })] })),
      known: await store.commit(unit({ audits: [audit('a3')] })),
      claimed: waiting.map(({ leaseToken, ...claimed }) => claimed),
    };
  };
  await embedded.close();
  const url = mongo.newDatabaseUrl();
  const target = { url, timeoutMs: 60_000 };
  test.same(await migrateFolder(folder, target, { pageRecords: 3, onProgress: () => undefined }), []);
  const [first, second] = [await openSqliteStore({ folder, onFatal }), await openTestStore(test, mongo, { url })];
  test.teardown(() => first.close());
  // When the next one is due follows from what is waiting; the rest is the same to the last figure.
  test.same(await second.store.deliveries.backlog(), await first.deliveries.backlog());
  const expected = await readAll(first);
  test.equal(expected.claimed.length, 6);
  test.equal(expected.once, false);
  test.same(await readAll(second.store), expected);
}

async function refusesOtherData(test: Test): Promise<void> {
  const home = await makeServerHome();
  test.teardown(() => home.remove());
  const [one] = clientsOf(home).authorities as [FhirClient];
  const folder = home.settings['CPIS_DATA_FOLDER'] ?? '';
  test.match(await migrate(mongo.newDatabaseUrl(), folder), { code: 2, err: /holds no store/ });
  const server = await startServerProcess(home);
  test.teardown(() => server.kill());
  await submit(one, freshPlan());
  await server.kill();

  const url = mongo.newDatabaseUrl();
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  const notes = client.db().collection('notes');
  await notes.insertOne({ of: 'somebody else' });
  test.match(await migrate(url, folder), { code: 2, err: /holds data already/ });
  test.equal(await notes.countDocuments(), 1);
  await notes.drop();

  test.match(await migrate(url, folder, 'resources: '), { code: null });
  const again = await startServerProcess(home);
  await submit(one, freshPlan());
  await again.stop();
  test.match(await migrate(url, folder), { code: 2, err: /before it changed/ }, 'half of it is of an older state');

  const damaged = mongo.newDatabaseUrl();
  test.match(await migrate(damaged, folder, 'audit events: '), { code: null });
  const other = new MongoClient(damaged);
  test.teardown(() => other.close());
  const resources = other.db().collection('resource');
  const body = createHash('sha256').digest('hex');
  test.equal((await resources.updateOne({ type: 'Flag' }, { $set: { body } })).modifiedCount, 1);
  const differing = await migrate(damaged, folder);
  test.match(differing, { code: 1, err: /differ in: resources\./ });
  test.match(await migrate('mysql://127.0.0.1/x', folder), { code: 2, err: /CPIS_MONGODB_URL/ });
}

await t.test(
  'a data folder is copied, kill -9 in the middle included: the same answers, and what was owed is delivered',
  copies,
);
await t.test('every state of resources, AuditEvents and deliveries is the same in the copy', copiesEveryState);
await t.test(
  'a target with other data, a source that changed, and a copy that is not the same are reported',
  refusesOtherData,
);
