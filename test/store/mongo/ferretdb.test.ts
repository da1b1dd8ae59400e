/** The store on FerretDB 1.24.2: the whole contract, and what a client cannot bring about there. */
import t from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { audit, findIds, plan, readFound, unit, write } from '../../contract/fixtures.ts';
import { storeContract } from '../../contract/store-contract.ts';
import { noFerretDb, openFerretDb } from '../../support/ferretdb-server.ts';
import type { MongoTestServer } from '../../support/mongo-server.ts';
import { openTcpProxy } from '../../support/tcp-proxy.ts';
import { openTestStore } from './open-test-store.ts';

async function becomes(isSo: () => boolean): Promise<boolean> {
  for (let tries = 0; tries < 200 && !isSo(); tries++) await new Promise((resolve) => setTimeout(resolve, 50));
  return isSo();
}

const count = <T>(values: readonly T[], is: (value: T) => boolean): number => values.filter(is).length;

async function runTests(server: MongoTestServer): Promise<void> {
  await t.test('two servers on one database: of 50 updates of one version one is committed', async (test) => {
    const one = await openTestStore(test, server);
    const other = await openTestStore(test, server, { url: one.url });
    await one.store.commit(unit({ writes: [write('f1')] }));
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, i) =>
        (i % 2 === 0 ? one : other).store.commit(unit({ writes: [write('f1', { version: 2, body: String(i) })] })),
      ),
    );
    test.equal(
      count(results, ({ kind }) => kind === 'committed'),
      1,
    );
    test.equal((await readFound(one.store, 'Flag', 'f1')).version, 2);
    test.equal((await readFound(one.store, 'Flag', 'f1')).body, (await readFound(other.store, 'Flag', 'f1')).body);
    const uses = await Promise.all([one, other, one, other].map(({ store }) => store.useOnce('jti', 9e12, Date.now())));
    test.equal(count(uses, Boolean), 1);
  });

  await t.test(
    'a lost answer is an unknown outcome: the same AuditEvent is there once, and committed',
    async (test) => {
      const direct = new URL(server.newDatabaseUrl());
      const proxy = await openTcpProxy(test, Number(direct.port));
      const url = `mongodb://127.0.0.1:${proxy.port}${direct.pathname}`;
      const { store } = await openTestStore(test, server, { url, timeoutMs: 5_000 });
      proxy.set('lose-answers', (request) => request.includes('insert') && request.includes('lost-1'));
      const ids = ['lost-1', 'lost-2', 'lost-3'];
      const results = await Promise.all(ids.map((id) => store.commit(unit({ audits: [audit(id)] }))));
      test.same(
        results,
        ids.map(() => ({ kind: 'committed' })),
      );
      test.equal(proxy.lost, 1);
      test.same((await findIds(store, plan([], { type: 'AuditEvent' }))).sort(), ids);
      const again = await store.commit(unit({ audits: [audit('lost-1', { body: '{}' })] }));
      test.match(again, { reason: 'duplicate-key' }, 'one that somebody else has written is no success');
    },
  );

  await t.test('without transactions: a unit that fails in the middle is undone', async (test) => {
    const direct = new URL(server.newDatabaseUrl());
    const proxy = await openTcpProxy(test, Number(direct.port));
    const url = `mongodb://127.0.0.1:${proxy.port}${direct.pathname}`;
    const { store } = await openTestStore(test, server, { url });
    const first = write('f1', { uniqueKeys: ['k1'], labels: ['a'] });
    await store.commit(unit({ writes: [first, write('p1', { type: 'Patient', labels: ['a'] })] }));
    const writes = [
      write('f1', { version: 2, uniqueKeys: ['k2'], labels: ['b'] }),
      write('f2', { uniqueKeys: ['k1', 'k3'] }),
      write('f3'),
    ];
    const touches = [{ type: 'Patient', id: 'p1', expectRevision: 1, labels: ['b'] }];
    proxy.set('lose-answers', (request) => request.includes('update') && request.includes('Flag/f3'));
    const failing = store.commit(unit({ touches, writes, audits: [audit('a1')] }));
    const reason: unknown = await failing.catch((error: unknown) => error);
    test.equal(reason instanceof FhirFault ? reason.category : reason, 'transient');
    test.equal(proxy.lost, 1);
    test.match(await readFound(store, 'Flag', 'f1'), { version: 1, revision: 1, labels: ['a'], body: first.body });
    test.match(await readFound(store, 'Patient', 'p1'), { version: 1, revision: 1, labels: ['a'] });
    for (const id of ['f2', 'f3']) test.same(await store.read('Flag', id), { kind: 'absent' });
    test.same(await store.read('AuditEvent', 'a1'), { kind: 'absent' });
    const taken = await store.commit(unit({ writes: [write('f4', { uniqueKeys: ['k1'] })] }));
    test.match(taken, { reason: 'duplicate-key', existingId: 'f1' }, 'the key is given back');
    test.same(await store.commit(unit({ writes, audits: [audit('a1')] })), { kind: 'committed' });
  });

  await t.test(
    'a database that is gone for a while: 503, not ready, and well again with what it held',
    async (test) => {
      const own = await openFerretDb(test);
      const { store } = await openTestStore(test, own, { timeoutMs: 700, onError: () => undefined });
      await store.commit(unit({ audits: [audit('before')], writes: [write('f1')] }));
      test.equal(store.ready, true);
      await own.stop();
      const refused = await Promise.allSettled(
        Array.from({ length: 20 }, (_, i) => store.commit(unit({ audits: [audit(`during-${i}`)] }))),
      );
      for (const outcome of refused) {
        const reason: unknown = outcome.status === 'rejected' ? outcome.reason : 'done';
        test.equal(reason instanceof FhirFault ? reason.category : reason, 'transient');
      }
      test.ok(await becomes(() => !store.ready));
      await own.start();
      test.ok(await becomes(() => store.ready));
      test.same(await store.commit(unit({ audits: [audit('after')] })), { kind: 'committed' });
      test.same((await findIds(store, plan([], { type: 'AuditEvent' }))).sort(), ['after', 'before']);
      test.match(await readFound(store, 'Flag', 'f1'), { version: 1 });
    },
  );
}

if (noFerretDb !== undefined) t.plan(0, noFerretDb);
else {
  t.setTimeout(240_000);
  const server = await openFerretDb(t);
  await storeContract(t, { name: 'FerretDB', open: (test) => openTestStore(test, server) });
  await runTests(server);
}
