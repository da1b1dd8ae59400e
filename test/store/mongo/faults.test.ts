import { MongoClient, type ServerHeartbeatStartedEvent } from 'mongodb';
import t, { type Test } from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { reconnectWhenStuck } from '../../../src/store/mongo/connection/connection.ts';
import { openCollections } from '../../../src/store/mongo/encoding/documents.ts';
import { audit, findIds, plan, readFound, unit, write } from '../../contract/fixtures.ts';
import { openOwnMongoServer, throughProxy } from '../../support/mongo-server.ts';
import { openTcpProxy } from '../../support/tcp-proxy.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { openTestStore } from './open-test-store.ts';

const onError = (): void => undefined;
const committed = { kind: 'committed' };

async function categoryOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'done',
    (error: unknown) => (error instanceof FhirFault ? error.category : `not a fault: ${String(error)}`),
  );
}

const server = await openOwnMongoServer(t);

/** Opens an empty store on a database that is reached through a proxy. */
async function openProxied(test: Test, options = '') {
  const direct = server.newDatabaseUrl();
  const proxy = await openTcpProxy(test, Number(new URL(direct).port));
  const { store } = await openTestStore(test, server, { url: throughProxy(direct, proxy) + options });
  return { store, proxy };
}

await t.test('a lost answer is an unknown outcome: the same AuditEvent is there once, and committed', async (test) => {
  const { store, proxy } = await openProxied(test);
  proxy.set('lose-answers', (request) => request.includes('insert') && request.includes('lost-1'));
  const results = await Promise.all(
    ['lost-1', 'lost-2', 'lost-3'].map((id) => store.commit(unit({ audits: [audit(id, { deliverTo: ['E1'] })] }))),
  );
  test.same(results, [committed, committed, committed]);
  test.equal(proxy.lost, 1);
  test.same((await findIds(store, plan([], { type: 'AuditEvent' }))).sort(), ['lost-1', 'lost-2', 'lost-3']);
  test.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: 3 }]);
  const again = await store.commit(unit({ audits: [audit('lost-1', { body: '{}' })] }));
  test.match(again, { reason: 'duplicate-key' }, 'another AuditEvent with the same id is refused');

  proxy.set('lose-answers', (request) => request.includes('used_once') && request.includes('insert'));
  test.equal(await store.useOnce('jti', 9e12, Date.now()), true, 'used once, though the answer was lost');
  test.equal(await store.useOnce('jti', 9e12, Date.now()), false);
  test.equal(proxy.lost, 2);
});

await t.test('an insert whose connection ends twice, so that the driver gives up, is sent again', async (test) => {
  const { store } = await openTestStore(test, server);
  const stop = await server.failCommand({ failCommands: ['insert'], closeConnection: true }, { times: 2 });
  test.same(await store.commit(unit({ audits: [audit('a1', { deliverTo: ['E1'] })] })), committed);
  await stop();
  test.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: 1 }]);
});

const notOnMajority = { writeConcernError: { code: 64, errmsg: 'waiting for replication timed out' } };

await t.test('a duplicate on a retry is this AuditEvent only if it is the same', async (test) => {
  const { store } = await openTestStore(test, server);
  test.same(await store.commit(unit({ audits: [audit('taken', { body: '{"one":1}' })] })), committed);
  // The insert and the look for it fail, and the driver repeats each once.
  const stop = await server.failCommand({ failCommands: ['insert', 'find'], closeConnection: true }, { times: 4 });
  test.match(await store.commit(unit({ audits: [audit('taken', { body: '{"other":1}' })] })), {
    reason: 'duplicate-key',
  });
  await stop();
  test.match(await readFound(store, 'AuditEvent', 'taken'), { body: '{"one":1}' });
});

await t.test(
  'an insert that the majority did not acknowledge in time is looked for, and committed once',
  async (test) => {
    const { store } = await openTestStore(test, server);
    const stop = await server.failCommand({ failCommands: ['insert'], ...notOnMajority }, { times: 1 });
    test.same(await store.commit(unit({ audits: [audit('a1', { deliverTo: ['E1'] })] })), committed);
    await stop();
    test.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: 1 }]);
  },
);

await t.test('a unit that fails in the middle leaves nothing', async (test) => {
  const { store, url } = await openTestStore(test, server, { timeoutMs: 3_000 });
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  const { uniqueKey } = openCollections(client.db());
  const first = write('f1', { uniqueKeys: ['k1'], labels: ['a'] });
  await store.commit(unit({ writes: [first, write('p1', { type: 'Patient', labels: ['a'] })] }));
  const failing = unit({
    guards: [{ type: 'Patient', id: 'p1', expectRevision: 1, labels: ['b'] }],
    writes: [
      write('f1', { version: 2, uniqueKeys: ['k2'], labels: ['b'] }),
      write('f2', { uniqueKeys: ['k3'] }),
      write('f3'),
    ],
    audits: [audit('a1', { deliverTo: ['E1'] })],
  });
  // The guard, f1 and f2 are written; f3 is not.
  const stop = await server.failCommand({ failCommands: ['update'], errorCode: 8_000 }, { skip: 3 });
  test.equal(await categoryOf(store.commit(failing)), 'exception');
  await stop();
  test.match(await readFound(store, 'Flag', 'f1'), { version: 1, revision: 1, labels: ['a'], body: first.body });
  test.match(await readFound(store, 'Patient', 'p1'), { version: 1, revision: 1, labels: ['a'] });
  for (const id of ['f2', 'f3']) test.same(await store.read('Flag', id), { kind: 'absent' });
  test.same(await store.read('AuditEvent', 'a1'), { kind: 'absent' });
  test.same(await store.deliveries.backlog(), []);
  test.same(await uniqueKey.find().toArray(), [{ _id: 'k1', holder: 'Flag/f1' }]);
  const scope = { type: 'Flag', now: ['a', 'b'], written: ['a', 'b'] };
  const history = await store.history({ scopes: [scope], limit: 9, total: false });
  test.same(
    history.entries.map(({ id, version }) => `${id}/${version}`),
    ['f1/1'],
  );
  test.same(await store.commit(failing), committed, 'the same unit is committed once the database is well');
});

await t.test('a commit with an unknown outcome is committed once, whether or not it was applied', async (test) => {
  const { store } = await openTestStore(test, server);
  const commits = { failCommands: ['commitTransaction'] };
  for (const [id, data, mode] of [
    ['not-applied', { ...commits, closeConnection: true }, { times: 2 }],
    ['applied', { ...commits, ...notOnMajority }, { times: 2 }],
  ] as const) {
    const stop = await server.failCommand(data, mode);
    const both = unit({ writes: [write(id)], audits: [audit(id, { deliverTo: [id] })] });
    test.same(await store.commit(both), committed, id);
    await stop();
    test.match(await readFound(store, 'Flag', id), { version: 1, revision: 1 });
  }
  test.match(await store.deliveries.backlog(), [
    { authority: 'applied', undelivered: 1 },
    { authority: 'not-applied', undelivered: 1 },
  ]);
});

await t.test(
  'a committed unit whose answer was lost is committed, although the server forgot its transaction',
  async (test) => {
    const { store, proxy } = await openProxied(test);
    test.same(await store.commit(unit({ writes: [write('before')], audits: [audit('before')] })), committed);
    const forgotten = { errorCode: 251, errorLabels: ['TransientTransactionError'] };
    const stop = await server.failCommand({ failCommands: ['commitTransaction'], ...forgotten }, { skip: 1 });
    proxy.set('lose-answers', (request) => request.includes('commitTransaction'));
    const both = unit({ writes: [write('lost', { uniqueKeys: ['k-lost'] })], audits: [audit('lost')] });
    test.same(await store.commit(both), committed);
    await stop();
    test.equal(proxy.lost, 1);
    test.match(await readFound(store, 'Flag', 'lost'), { version: 1, revision: 1 });
    test.match(await store.commit(both), { reason: 'version-conflict' }, 'the same unit again is another one');
  },
);

await t.test('a driver that finds no server to repeat a write on has perhaps written it', async (test) => {
  const direct = server.newDatabaseUrl();
  const proxy = await openTcpProxy(test, Number(new URL(direct).port));
  const url = throughProxy(direct, proxy);
  // Shorter than the outage, so that the driver gives up in between.
  const { store } = await openTestStore(test, server, { url, timeoutMs: 500, deadlineMs: 20_000 });
  test.same(await store.commit(unit({ audits: [audit('first')] })), committed);
  proxy.set('cut', (request) => request.includes('insert') && request.includes('second'));
  const writing = store.commit(unit({ audits: [audit('second')] }));
  const using = store.useOnce('jti-second', 9e12, Date.now());
  using.catch(() => undefined);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  proxy.set('pass');
  test.same(await writing, committed, 'tried until the server is found again');
  test.equal(await using, true);
  test.equal(await store.useOnce('jti-second', 9e12, Date.now()), false);
});

await t.test('an election under load: what was acknowledged is there, and writing goes on', async (test) => {
  const { store, url } = await openTestStore(test, server, { onError });
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  let isOver = false;
  const acknowledged: string[] = [];
  const writeOn = async (name: string): Promise<void> => {
    for (let number = 0; !isOver; number++) {
      const id = `${name}-${number}`;
      const both = unit({ audits: [audit(id)], ...(name === 'unit' ? { writes: [write(id)] } : {}) });
      if ((await categoryOf(store.commit(both))) === 'done') acknowledged.push(id);
    }
  };
  const writing = ['one', 'two', 'unit'].map(writeOn);
  const hasGrownBy = (more: number): Promise<void> => {
    const before = acknowledged.length;
    return waitUntil('further commits', () => acknowledged.length >= before + more);
  };
  await hasGrownBy(20);
  await client.db('admin').command({ replSetStepDown: 1, force: true });
  await hasGrownBy(20);
  isOver = true;
  await Promise.all(writing);
  const found = await findIds(store, plan([], { type: 'AuditEvent', limit: 100_000 }));
  const known = new Set(found);
  test.same(
    acknowledged.filter((id) => !known.has(id)),
    [],
  );
  test.equal(known.size, found.length, 'each of them once');
});

await t.test(
  'a database that does not answer: 503 in bounded time, not ready, and well again without a restart',
  async (test) => {
    const { store } = await openTestStore(test, server, { timeoutMs: 1_000, onError });
    await store.commit(unit({ audits: [audit('before')], writes: [write('f1')] }));
    test.equal(store.ready, true);
    await server.stop();
    const refused = [
      ...Array.from({ length: 20 }, (_, i) => store.commit(unit({ audits: [audit(`during-${i}`)] }))),
      store.commit(unit({ writes: [write('f2')] })),
      store.read('Flag', 'f1'),
      store.search(plan([])),
      store.deliveries.claim('E1', 1, 1, 2),
    ];
    for (const outcome of await Promise.all(refused.map(categoryOf))) test.equal(outcome, 'transient');
    await waitUntil('the store is not ready', () => !store.ready);

    const queued = await Promise.allSettled(
      Array.from({ length: 10_050 }, (_, i) => store.commit(unit({ audits: [audit(`q${i}`)] }))),
    );
    const details = queued.map((result) => (result.status === 'rejected' ? result.reason.detail : 'done'));
    test.equal(details.filter((detail) => detail === 'store-queue-full').length, 50, 'the queue is bounded');
    test.equal(details.filter((detail) => detail === 'done').length, 0);

    await server.start();
    await waitUntil('the store is ready', () => store.ready);
    await waitUntil(
      'a commit',
      async () => (await categoryOf(store.commit(unit({ audits: [audit('after')] })))) === 'done',
    );
    test.match(await readFound(store, 'Flag', 'f1'), { version: 1 });
  },
);

await t.test('a driver that waits for ever to hear from its server is connected again', async (test) => {
  const client = new MongoClient(server.newDatabaseUrl());
  await client.connect();
  const stop = reconnectWhenStuck(client, 100);
  const opened = new Promise((resolve) => client.once('topologyOpening', resolve));
  const started = { connectionId: '127.0.0.1:1', awaited: false } as ServerHeartbeatStartedEvent;
  client.emit('serverHeartbeatStarted', started);
  await opened;
  const ping = () => client.db().command({ ping: 1 });
  await waitUntil('an answer', () => ping().then(Boolean, () => false));
  test.equal(await ping().then(Boolean), true);
  await stop();
  await client.close();
});

await t.test('writes ask for the majority and the journal, whatever the URL says', async (test) => {
  const { store, proxy } = await openProxied(test, '&w=1');
  const asked: Buffer[] = [];
  proxy.set('pass', (request) => {
    asked.push(request);
    return false;
  });
  await store.commit(unit({ audits: [audit('a1')] }));
  await store.commit(unit({ writes: [write('f1')] }));
  const journal = Buffer.from('\bj\0\u0001', 'latin1');
  // The writes of a transaction carry no concern of their own: its commit does.
  for (const command of ['insert', 'commitTransaction']) {
    const sent = asked.filter(
      (request) => request.includes(command) && (command !== 'insert' || request.includes('a1')),
    );
    test.ok(
      sent.length > 0 && sent.every((request) => request.includes('majority') && request.includes(journal)),
      command,
    );
  }
  const begun = asked.filter((request) => request.includes('startTransaction'));
  test.ok(
    begun.length > 0 && begun.every((request) => request.includes('snapshot')),
    'a unit is checked on one snapshot',
  );
});
