import t, { type Test } from 'tap';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { openServerClock } from '../../../src/store/mongo/connection/server-clock.ts';
import { audit, findIds, plan, readFound, unit, write } from '../../contract/fixtures.ts';
import { type OpenServer, onEachServer } from '../../support/mongo-servers.ts';
import { openTestStore } from './open-test-store.ts';

/** Resolves with the first authority that is woken. */
function firstWoken(test: Test, watch: (wake: (authority: string) => void) => () => Promise<void>): Promise<string> {
  return new Promise((resolve) => {
    const stop = watch(resolve);
    test.teardown(stop);
  });
}

async function runTests(t: Test, open: OpenServer): Promise<void> {
  const server = await open(t);
  await t.test(
    'commits of AuditEvents at one time go to the database together; a bad one fails alone',
    async (test) => {
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
    },
  );

  await t.test(
    'the number of versions, and of their bytes, has a limit that is told as 422; deleting goes on',
    async (test) => {
      const { store } = await openTestStore(test, server, { versionLimits: { versions: 3, bytes: 1_000 } });
      for (const version of [1, 2, 3]) await store.commit(unit({ writes: [write('f1', { version })] }));
      const fourth = unit({ writes: [write('f1', { version: 4 })], audits: [audit('a1')] });
      await test.rejects(store.commit(fourth), new FhirFault('unprocessable', []));
      test.match(await readFound(store, 'Flag', 'f1'), { version: 3 });
      test.same(await store.read('AuditEvent', 'a1'), { kind: 'absent' });
      const deletion = write('f1', { version: 4, body: null, method: 'DELETE' });
      test.same(await store.commit(unit({ writes: [deletion] })), { kind: 'committed' });
      await store.commit(unit({ writes: [write('f2', { body: 'x'.repeat(900) })] }));
      const large = unit({ writes: [write('f2', { version: 2, body: 'x'.repeat(200) })] });
      await test.rejects(store.commit(large), new FhirFault('unprocessable', []));
    },
  );

  await t.test('texts are looked for as they are: no sign of one means anything to the server', async (test) => {
    const { store } = await openTestStore(test, server);
    const ascii = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code));
    const signs = ascii.filter((sign) => !/[A-Za-z0-9]/.test(sign));
    const texts = [
      'a',
      'ab',
      'aab',
      '\\Qa\\E',
      '[a]',
      '(a|b)',
      'a{2}',
      '^a',
      'a$',
      ...signs.map((sign) => `a${sign}b`),
    ];
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

  await t.test('more dates of one parameter than can be told apart are refused', async (test) => {
    const { store } = await openTestStore(test, server);
    const dates = (count: number) =>
      Array.from(
        { length: count },
        (_, i) => ({ kind: 'date', param: 'date', startMs: 10 * i, endMs: 10 * i + 5 }) as const,
      );
    test.same(await store.commit(unit({ writes: [write('f1', { index: dates(8) })] })), { kind: 'committed' });
    const searched = (startMs: number, endMs: number) =>
      findIds(store, plan([{ kind: 'date', param: 'date', any: [{ prefix: 'eq', startMs, endMs }] }]));
    test.same(await searched(70, 75), ['f1']);
    test.same(await searched(71, 79), [], 'the start of one and the end of another are not enough');
    const tooMany = store.commit(unit({ writes: [write('f2', { index: dates(9) })], audits: [audit('a2')] }));
    await test.rejects(tooMany, new FhirFault('unprocessable', []));
    test.same(await store.read('AuditEvent', 'a2'), { kind: 'absent' });
  });

  await t.test(
    'two servers on one database: one sees what the other wrote, and is woken for what it left',
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
      const uses = await Promise.all(
        [one, other, one, other].map(({ store }) => store.useOnce('jti', 9e12, Date.now())),
      );
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
      const told: string[] = [];
      const stop = await watchResources('Subscription', (labels) => told.push(...labels));
      const isTold = async (label: string) => {
        while (!told.includes(label)) await new Promise((resolve) => setTimeout(resolve, 20));
      };
      // The first look may come after the first of them.
      for (let version = 1; !told.includes('owner:E1'); version++) {
        await one.store.commit(
          unit({ writes: [write('s1', { type: 'Subscription', version, labels: ['owner:E1'] })] }),
        );
        await new Promise((resolve) => setTimeout(resolve, 300));
      }
      const { version } = await readFound(one.store, 'Subscription', 's1');
      const gone = { type: 'Subscription', version: version + 1, body: null, labels: ['owner:gone'] };
      await one.store.commit(unit({ writes: [write('s1', gone)] }));
      await isTold('owner:gone');
      await stop();
      test.same([...new Set(told)].sort(), ['owner:E1', 'owner:gone']);
    },
  );

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
}

await onEachServer(t, runTests);
