import type { ContractTest } from './contract-test.ts';
import { audit, unit } from './fixtures.ts';

const ids = (count: number, from = 1): string[] => Array.from({ length: count }, (_, index) => `a${from + index}`);

export const subscriptionEventsTests: readonly ContractTest[] = [
  {
    name: 'events of a Subscription are numbered from 1, each once, and keep their numbers after reopening',
    run: async (t, { store, reopen }) => {
      const events = store.subscriptionEvents;
      t.same(await events.last('s1'), 0);
      t.same(await events.range('s1', 1, 100, 10), []);
      t.same(await events.append('s1', ['a1', 'a2']), [1, 2]);
      t.same(await events.append('s2', ['a2']), [1], 'each Subscription has its own numbers');
      t.same(await events.append('s1', ['a3', 'a1', 'a4', 'a3']), [3, 1, 4, 3], 'an event keeps its number');
      t.same(await events.append('s1', []), []);
      const again = (await reopen()).subscriptionEvents;
      t.same(await again.append('s1', ['a4', 'a5']), [4, 5]);
      t.same(await again.last('s1'), 5);
      t.same(await again.range('s1', 2, 4, 10), [
        { number: 2, auditId: 'a2' },
        { number: 3, auditId: 'a3' },
        { number: 4, auditId: 'a4' },
      ]);
      t.same(await again.range('s1', 2, Number.MAX_SAFE_INTEGER, 1), [{ number: 2, auditId: 'a2' }]);
      t.same(await again.range('s1', 6, 9, 10), []);
      t.same(await again.range('s3', 1, 9, 10), []);
    },
  },
  {
    name: 'concurrent appends assign numbers without gaps, one to each event',
    run: async (t, { store }) => {
      const events = store.subscriptionEvents;
      const answers = await Promise.all(
        Array.from({ length: 12 }, (_, index) => {
          const wanted = ids(6, 1 + 4 * (index % 6));
          return events.append('s1', wanted).then((numbers) => wanted.map((id, at) => [id, numbers[at]] as const));
        }),
      );
      const numberOf = new Map<string, number | undefined>();
      for (const [id, number] of answers.flat()) {
        t.equal(numberOf.get(id) ?? number, number, 'every caller receives the same number');
        numberOf.set(id, number);
      }
      t.same(
        [...numberOf.values()].sort((a, b) => Number(a) - Number(b)),
        Array.from({ length: 26 }, (_, index) => index + 1),
      );
      const stored = await events.range('s1', 1, 100, 100);
      t.same(
        stored,
        [...numberOf]
          .map(([auditId, number]) => ({ number, auditId }))
          .sort((a, b) => Number(a.number) - Number(b.number)),
      );
    },
  },
  {
    name: 'the acknowledged number of a Subscription only grows, and survives reopening',
    run: async (t, { store, reopen }) => {
      t.same(await store.subscriptionEvents.acknowledged('s1'), 0);
      await store.subscriptionEvents.acknowledge('s1', 7);
      await store.subscriptionEvents.acknowledge('s1', 5);
      await store.subscriptionEvents.acknowledge('s2', 1);
      const again = (await reopen()).subscriptionEvents;
      t.same([await again.acknowledged('s1'), await again.acknowledged('s2')], [7, 1]);
    },
  },
  {
    name: 'undelivered events of an authority are listed oldest first, in pages, leased or not',
    run: async (t, { store }) => {
      for (const [index, id] of ['a5', 'a1', 'a4', 'a2', 'a3'].entries()) {
        const recordedMs = id === 'a2' || id === 'a3' ? 200 : 100 * Number(id.slice(1));
        const deliverTo = index === 0 ? ['E1', 'E2'] : ['E1'];
        await store.commit(unit({ audits: [audit(id, { recordedMs, deliverTo })] }));
      }
      const [first, second] = await store.deliveries.claim('E1', 2, 1_000, 5_000);
      if (first === undefined || second === undefined) throw new Error('two are due');
      const all = await store.deliveries.owed('E1', 10);
      t.same(
        all.map(({ recordedMs }) => recordedMs),
        [100, 200, 200, 400, 500],
      );
      t.same(new Set(all.map(({ auditId }) => auditId)), new Set(ids(5)));
      t.same(await store.deliveries.owed('E2', 10), [{ auditId: 'a5', recordedMs: 500 }]);
      t.same(await store.deliveries.owed('E9', 10), []);
      const page = await store.deliveries.owed('E1', 2);
      t.same(page, all.slice(0, 2));
      t.same(await store.deliveries.owed('E1', 2, page[1]), all.slice(2, 4), 'none is missing among equal times');
      t.same(await store.deliveries.owed('E1', 10, { auditId: '', recordedMs: 200 }), all.slice(1));
      await store.deliveries.settle(first, { kind: 'delivered', acknowledgedBy: ['s1'], atMs: 2_000 });
      t.same(await store.deliveries.owed('E1', 10), all.slice(1));
      t.same(await store.deliveries.owed('E1', 10, all[0]), all.slice(1), 'the position may have been delivered since');
    },
  },
];
