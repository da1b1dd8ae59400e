import { MongoClient, type ServerHeartbeatStartedEvent } from 'mongodb';
import t, { type Test } from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { reconnectWhenStuck } from '../../../src/store/mongo/connection/connection.ts';
import { openCollections } from '../../../src/store/mongo/encoding/documents.ts';
import { openMongoStore } from '../../../src/store/mongo/open-mongo-store.ts';
import { StoreStartError } from '../../../src/store/store-start-error.ts';
import { audit, findIds, plan, readFound, unit, write } from '../../contract/fixtures.ts';
import { noMongoServer, noReplicaSet, openMongoServer } from '../../support/mongo-server.ts';
import { type OpenServer, onEachServer } from '../../support/mongo-servers.ts';
import { openTcpProxy } from '../../support/tcp-proxy.ts';
import { openTestStore } from './open-test-store.ts';

const onError = (): void => undefined;

async function categoryOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => (error instanceof FhirFault ? error.category : `not a fault: ${String(error)}`),
  );
}

/** What opening a store is refused with. */
async function refusalOf(url: string, dangerouslyAllowStandalone = true): Promise<StoreStartError> {
  const opening = openMongoStore({ url, timeoutMs: 4_000, dangerouslyAllowStandalone, onError });
  const error = await opening.then(
    (store) => store.close(),
    (reason: unknown) => reason,
  );
  if (error instanceof StoreStartError) return error;
  throw new Error('the store was opened');
}

async function collectionsOf(test: Test, url: string) {
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  return openCollections(client.db());
}

async function runTests(t: Test, open: OpenServer): Promise<void> {
  const server = await open(t);
  await t.test('a database that cannot be used is refused in words, without the secret of its URL', async (test) => {
    const url = server.newDatabaseUrl();
    const standalone = await refusalOf(url, false);
    test.match(standalone.message, /rs\.initiate\(\)/);
    test.match(standalone.message, /CPIS_MONGODB_DANGEROUSLY_ALLOW_STANDALONE/);
    test.equal(standalone.mayPass, false);

    const nobody = await refusalOf('mongodb://someone:s3cret@127.0.0.1:9/cpis');
    test.match(nobody.message, /cannot be reached/);
    test.equal(nobody.mayPass, true);
    const tls = await refusalOf(`${url}?tls=true`);
    test.match(tls.message, /^TLS with MongoDB failed|ends the connection before TLS/);
    const noFile = await refusalOf(`${url}?tls=true&tlsCAFile=/nowhere/ca.pem`);
    test.match(noFile.message, /cannot be read/);
    // These servers know no users at all.
    const noUsers = await refusalOf(url.replace('//', '//someone:s3cret@'));
    test.match(noUsers.message, /refused to be used by the store|refuses the user name and password/);
    for (const { mayPass } of [noFile, noUsers]) test.equal(mayPass, false);
    const wrong = await refusalOf('mongodb://someone:s3cret@127.0.0.1:9/cpis?nonsense=1');
    test.match(wrong.message, /not a MongoDB connection string/);
    for (const { message } of [nobody, tls, noFile, noUsers, wrong]) test.notMatch(message, 's3cret');

    const { schema } = await collectionsOf(test, url);
    await (await openMongoStore({ url, timeoutMs: 5_000, dangerouslyAllowStandalone: true, onError })).close();
    await schema.updateOne({ _id: 'store' }, { $set: { version: 99 } });
    test.match((await refusalOf(url)).message, /schema version 99, newer than 2/);
    await schema.updateOne({ _id: 'store' }, { $set: { version: 1 } });
    test.match((await refusalOf(url)).message, /schema version 1, which was only written before the first release/);
  });

  await t.test(
    'a lost answer is an unknown outcome: the same AuditEvent is there once, and committed',
    async (test) => {
      const direct = new URL(server.newDatabaseUrl());
      const proxy = await openTcpProxy(test, Number(direct.port));
      const url = `mongodb://127.0.0.1:${proxy.port}${direct.pathname}`;
      const { store } = await openTestStore(test, server, { url, timeoutMs: 5_000 });
      proxy.set('lose-answers', (request) => request.includes('insert') && request.includes('lost-1'));
      const results = await Promise.all(
        ['lost-1', 'lost-2', 'lost-3'].map((id) => store.commit(unit({ audits: [audit(id, { deliverTo: ['E1'] })] }))),
      );
      test.same(
        results,
        Array.from({ length: 3 }, () => ({ kind: 'committed' })),
      );
      test.equal(proxy.lost, 1);
      test.same((await findIds(store, plan([], { type: 'AuditEvent' }))).sort(), ['lost-1', 'lost-2', 'lost-3']);
      test.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: 3 }]);
      const again = await store.commit(unit({ audits: [audit('lost-1', { body: '{}' })] }));
      test.match(again, { reason: 'duplicate-key' }, 'one that somebody else has written is no success');

      proxy.set('lose-answers', (request) => request.includes('used_once') && request.includes('insert'));
      test.equal(await store.useOnce('jti', 9e12, Date.now()), true, 'used once, though the answer was lost');
      test.equal(await store.useOnce('jti', 9e12, Date.now()), false);
      test.equal(proxy.lost, 2);
    },
  );

  await t.test(
    'a database that does not answer: 503 in bounded time, not ready, and well again by itself',
    async (test) => {
      const own = await open(test);
      const { store } = await openTestStore(test, own, { timeoutMs: 700, onError });
      await store.commit(unit({ audits: [audit('before')], writes: [write('f1')] }));
      test.equal(store.ready, true);
      await own.stop();
      const audits = Array.from({ length: 20 }, (_, i) => store.commit(unit({ audits: [audit(`during-${i}`)] })));
      for (const outcome of await Promise.all(audits.map(categoryOf))) test.equal(outcome, 'transient');
      test.equal(await categoryOf(store.commit(unit({ writes: [write('f2')] }))), 'transient');
      test.equal(await categoryOf(store.read('Flag', 'f1')), 'transient');
      test.equal(await categoryOf(store.search(plan([]))), 'transient');
      test.equal(await categoryOf(store.deliveries.claim('E1', 1, 1, 2)), 'transient');
      test.equal(store.ready, false);
      await own.start();
      for (let tries = 0; tries < 40 && !store.ready; tries++) await new Promise((resolve) => setTimeout(resolve, 100));
      test.equal(store.ready, true);
      test.same(await store.commit(unit({ audits: [audit('after')] })), { kind: 'committed' });
      test.match(await readFound(store, 'Flag', 'f1'), { version: 1 });
    },
  );

  await t.test('without transactions: a unit that fails in the middle is undone', async (test) => {
    const direct = new URL(server.newDatabaseUrl());
    const proxy = await openTcpProxy(test, Number(direct.port));
    const url = `mongodb://127.0.0.1:${proxy.port}${direct.pathname}`;
    const { store } = await openTestStore(test, server, { url });
    const collections = await collectionsOf(test, url);
    const first = write('f1', { uniqueKeys: ['k1'], labels: ['a'] });
    await store.commit(unit({ writes: [first, write('p1', { type: 'Patient', labels: ['a'] })] }));
    const failing = unit({
      guards: [{ type: 'Patient', id: 'p1', expectRevision: 1, labels: ['b'] }],
      writes: [
        write('f1', { version: 2, uniqueKeys: ['k2'], labels: ['b'] }),
        write('f2', { uniqueKeys: ['k1', 'k3'] }),
        write('f3'),
      ],
      audits: [audit('a1', { deliverTo: ['E1'] })],
    });
    proxy.set('lose-answers', (request) => request.includes('update') && request.includes('Flag/f3'));
    test.equal(await categoryOf(store.commit(failing)), 'transient');
    test.equal(proxy.lost, 1);
    test.match(await readFound(store, 'Flag', 'f1'), { version: 1, revision: 1, labels: ['a'], body: first.body });
    test.match(await readFound(store, 'Patient', 'p1'), { version: 1, revision: 1, labels: ['a'] });
    for (const id of ['f2', 'f3']) test.same(await store.read('Flag', id), { kind: 'absent' });
    test.same(await store.read('AuditEvent', 'a1'), { kind: 'absent' });
    test.same(await store.deliveries.backlog(), []);
    test.equal(await collections.pendingAudit.countDocuments(), 0);
    test.same(await collections.uniqueKey.find().toArray(), [{ _id: 'k1', holder: 'Flag/f1' }]);
    const scope = { type: 'Flag', now: ['a', 'b'], written: ['a', 'b'] };
    const history = await store.history({ scopes: [scope], limit: 9, total: false });
    test.same(
      history.entries.map(({ id, version }) => `${id}/${version}`),
      ['f1/1'],
    );
  });

  await t.test('without transactions: what a process noted that ended is made visible and due', async (test) => {
    const { store, reopen, url } = await openTestStore(test, server);
    const collections = await collectionsOf(test, url);
    await store.commit(unit({ audits: [audit('a1', { deliverTo: ['E1'] })] }));
    const noted = await collections.audit.findOne({ _id: 'a1' });
    if (noted === null) throw new Error('it was committed');
    for (const [id, untilMs] of [
      ['abandoned', 1],
      ['under-way', 9e12],
    ] as const) {
      await collections.pendingAudit.insertOne({ _id: id, untilMs, audit: { ...noted, _id: id, seq: id } });
    }
    const again = await reopen();
    const isThere = async () => (await again.read('AuditEvent', 'abandoned')).kind === 'found';
    for (let tries = 0; tries < 50 && !(await isThere()); tries++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    test.same((await findIds(again, plan([], { type: 'AuditEvent' }))).sort(), ['a1', 'abandoned']);
    test.match(await again.deliveries.backlog(), [{ authority: 'E1', undelivered: 2 }]);
  });
}

/** What is the client's doing, whatever the server. */
async function runOnOne(t: Test): Promise<void> {
  const server = await openMongoServer(t);
  await t.test('a driver that waits for ever to hear of its server is connected anew', async (test) => {
    const client = new MongoClient(server.newDatabaseUrl());
    await client.connect();
    const stop = reconnectWhenStuck(client, 100);
    const opened = new Promise((resolve) => client.once('topologyOpening', resolve));
    const started = { connectionId: '127.0.0.1:1', awaited: false } as ServerHeartbeatStartedEvent;
    client.emit('serverHeartbeatStarted', started);
    await opened;
    while (
      !(await client
        .db()
        .command({ ping: 1 })
        .catch(() => undefined))
    )
      await new Promise(setImmediate);
    test.pass('and answers');
    await stop();
    await client.close();
  });

  await t.test('writes ask for the majority and the journal, and the URL cannot say otherwise', async (test) => {
    const direct = new URL(server.newDatabaseUrl());
    const proxy = await openTcpProxy(test, Number(direct.port));
    const url = `mongodb://127.0.0.1:${proxy.port}${direct.pathname}?w=1`;
    const { store } = await openTestStore(test, server, { url });
    const asked: Buffer[] = [];
    proxy.set('pass', (request) => {
      asked.push(request);
      return false;
    });
    await store.commit(unit({ audits: [audit('a1')] }));
    await store.commit(unit({ writes: [write('f1')] }));
    const journal = Buffer.from('\bj\0\u0001', 'latin1');
    for (const id of ['a1', 'Flag/f1']) {
      const sent = asked.filter((request) => request.includes(id) && /insert|update/.test(request.toString('latin1')));
      test.ok(
        sent.length > 0 && sent.every((request) => request.includes('majority') && request.includes(journal)),
        id,
      );
    }
    for (const said of ['journal=false', 'readConcernLevel=local', 'readPreference=secondary', 'retryWrites=false']) {
      test.match((await refusalOf(`${direct.href}?${said}`)).message, /decided by the store|do not fit/, said);
    }
  });

  await t.test('the queue before the database is bounded', async (test) => {
    const own = await openMongoServer(test);
    const { store } = await openTestStore(test, own, { timeoutMs: 1_000, onError });
    await own.stop();
    const results = await Promise.allSettled(
      Array.from({ length: 10_050 }, (_, i) => store.commit(unit({ audits: [audit(`q${i}`)] }))),
    );
    const details = results.map((result) => (result.status === 'rejected' ? result.reason.detail : 'done'));
    test.equal(details.filter((detail) => detail === 'store-queue-full').length, 50);
    test.equal(details.filter((detail) => detail === 'done').length, 0);
  });
}

await onEachServer(t, runTests, { notGiven: 'these stop the server, or need one without transactions' });
if (noMongoServer === undefined && noReplicaSet !== undefined) await t.test('on one server', runOnOne);
