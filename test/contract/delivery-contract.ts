import type { ClaimedDelivery, Settlement, Store } from '../../src/store/store.ts';
import type { ContractTest } from './contract-test.ts';
import { audit, unit } from './fixtures.ts';

const delivered = (...acknowledgedBy: readonly string[]): Settlement => ({
  kind: 'delivered',
  acknowledgedBy,
  atMs: 9_000,
});
const failed = (dueMs: number, changes: Partial<Extract<Settlement, { kind: 'failed' }>> = {}): Settlement => ({
  kind: 'failed',
  dueMs,
  reason: 'status-503',
  acknowledgedBy: [],
  spendAttempt: true,
  ...changes,
});

async function owe(store: Store, count: number, authorities: readonly string[] = ['E1']): Promise<void> {
  for (let i = 1; i <= count; i++) {
    await store.commit(unit({ audits: [audit(`a${i}`, { recordedMs: 100 * i, deliverTo: authorities })] }));
  }
}

/** Adds a third event, owed to E1 alone. */
async function owe3(store: Store): Promise<void> {
  await store.commit(unit({ audits: [audit('a3', { recordedMs: 300, deliverTo: ['E1'] })] }));
}

/** Returns the only claimed delivery. Throws if there is not exactly one. */
async function claimOne(store: Store, nowMs: number, leaseUntilMs: number): Promise<ClaimedDelivery> {
  const [claimed, ...others] = await store.deliveries.claim('E1', 1, nowMs, leaseUntilMs);
  if (claimed === undefined || others.length > 0) throw new Error('not one delivery was claimed');
  return claimed;
}

const idsOf = (claimed: readonly ClaimedDelivery[]) => claimed.map(({ auditId }) => auditId);

export const deliveryTests: readonly ContractTest[] = [
  {
    name: 'deliveries are claimed oldest first, for one authority, once due',
    run: async (t, { store, reopen }) => {
      await store.commit(unit({ audits: [audit('late', { recordedMs: 900, deliverTo: ['E1', 'E2'] })] }));
      await owe(store, 3);
      t.same(await store.deliveries.claim('E1', 10, 99, 5_000), [], 'not due before it was recorded');
      t.same(await store.deliveries.claim('E9', 10, 1_000, 5_000), []);
      const again = await reopen();
      t.match(await again.deliveries.claim('E1', 2, 1_000, 5_000), [
        { auditId: 'a1', authority: 'E1', recordedMs: 100, body: audit('a1').body, attempts: 0, acknowledgedBy: [] },
        { auditId: 'a2' },
      ]);
      t.same(idsOf(await again.deliveries.claim('E1', 10, 1_000, 5_000)), ['a3', 'late']);
      t.same(idsOf(await again.deliveries.claim('E2', 10, 1_000, 5_000)), ['late'], 'each authority has its own');
    },
  },
  {
    name: 'parallel claims never share a delivery',
    run: async (t, { store }) => {
      await owe(store, 30);
      const claims = await Promise.all(
        Array.from({ length: 10 }, () => store.deliveries.claim('E1', 5, 9_000, 10_000)),
      );
      const ids = claims.flatMap(idsOf);
      t.equal(ids.length, 30);
      t.equal(new Set(ids).size, 30);
      t.match(await store.deliveries.backlog(), [{ undelivered: 30, leased: 30, nextDueMs: 10_000 }]);
    },
  },
  {
    name: 'an expired lease is taken over; its late failure is ignored, its late success counts',
    run: async (t, { store }) => {
      await owe(store, 1);
      const stale = await claimOne(store, 1_000, 2_000);
      t.same(await store.deliveries.claim('E1', 1, 1_999, 3_000), []);
      const current = await claimOne(store, 2_000, 3_000);
      t.not(current.leaseToken, stale.leaseToken);
      t.equal(current.attempts, 0);
      t.equal(await store.deliveries.settle(stale, failed(9_000)), false);
      t.equal(await store.deliveries.settle(stale, { kind: 'released' }), false);
      t.equal(await store.deliveries.extend(stale, 9_000), false);
      t.equal(await store.deliveries.settle(stale, delivered('s1')), true, 'a success counts without the lease');
      t.equal(await store.deliveries.settle(current, failed(9_000)), false);
      t.equal(await store.deliveries.settle(current, delivered('s1')), false, 'delivered once');
      t.equal(await store.deliveries.extend(current, 9_000), false);
      t.same(await store.deliveries.claim('E1', 1, 10_000, 20_000), []);
      t.same(await store.deliveries.backlog(), [
        {
          authority: 'E1',
          undelivered: 0,
          leased: 0,
          parked: 0,
          unmatched: 0,
          oldestRecordedMs: undefined,
          oldestParkedMs: undefined,
          oldestUnmatchedMs: undefined,
          nextDueMs: undefined,
          delivered: 1,
        },
      ]);
    },
  },
  {
    name: 'a failed delivery is tried again when due, with its acknowledgements',
    run: async (t, { store, reopen }) => {
      await owe(store, 2);
      const first = await claimOne(store, 1_000, 2_000);
      t.equal(await store.deliveries.settle(first, failed(5_000, { acknowledgedBy: ['s1'] })), true);
      t.equal(await store.deliveries.settle(first, failed(6_000)), false, 'the lease is gone');
      t.same(
        idsOf(await store.deliveries.claim('E1', 9, 4_999, 5_000)),
        ['a2'],
        'a failed delivery does not delay others',
      );
      const again = await reopen();
      const [second, third] = await again.deliveries.claim('E1', 9, 5_000, 6_000);
      t.match(second, { auditId: 'a1', attempts: 1, acknowledgedBy: ['s1'] });
      t.match(third, { auditId: 'a2', attempts: 0 });
      if (second === undefined) return;
      await again.deliveries.settle(second, failed(7_000, { acknowledgedBy: ['s2'], spendAttempt: false }));
      const [last] = await again.deliveries.claim('E1', 1, 7_000, 8_000);
      t.equal(last?.attempts, 1, 'the attempt was not spent');
      t.same([...(last?.acknowledgedBy ?? [])].sort(), ['s1', 's2']);
    },
  },
  {
    name: 'leases are extended and released',
    run: async (t, { store }) => {
      await owe(store, 1);
      const held = await claimOne(store, 1_000, 2_000);
      t.equal(await store.deliveries.extend(held, 4_000), true);
      t.same(await store.deliveries.claim('E1', 1, 3_999, 5_000), []);
      t.equal(await store.deliveries.settle(held, { kind: 'released' }), true);
      t.match(await store.deliveries.backlog(), [{ undelivered: 1, leased: 0, oldestRecordedMs: 100, nextDueMs: 100 }]);
      const next = await claimOne(store, 1_001, 2_000);
      t.same([next.auditId, next.attempts], ['a1', 0]);
      t.equal(await store.deliveries.extend(held, 9_000), false);
    },
  },
  {
    name: 'requeue makes waiting deliveries due and leaves leases alone',
    run: async (t, { store }) => {
      await owe(store, 3, ['E1', 'E2']);
      const [one, two, three] = await store.deliveries.claim('E1', 3, 1_000, 2_000);
      if (one === undefined || two === undefined || three === undefined) throw new Error('three deliveries are due');
      await store.deliveries.settle(one, failed(90_000));
      await store.deliveries.settle(two, failed(80_000));
      const [other] = await store.deliveries.claim('E2', 1, 1_000, 2_000);
      if (other !== undefined) await store.deliveries.settle(other, failed(70_000));
      t.match(await store.deliveries.backlog(), [
        { authority: 'E1', undelivered: 3, leased: 1, oldestRecordedMs: 100, nextDueMs: 2_000, delivered: 0 },
        { authority: 'E2', undelivered: 3, leased: 0, oldestRecordedMs: 100, nextDueMs: 200, delivered: 0 },
      ]);
      t.equal(await store.deliveries.requeue('E1', 1_500, 'waiting', 9), 2);
      t.match(await store.deliveries.backlog(), [{ nextDueMs: 1_500 }, {}]);
      t.same(idsOf(await store.deliveries.claim('E1', 9, 1_499, 5_000)), []);
      const claimed = await store.deliveries.claim('E1', 9, 1_500, 5_000);
      t.match(claimed, [
        { auditId: 'a1', attempts: 1 },
        { auditId: 'a2', attempts: 1 },
      ]);
      t.equal(await store.deliveries.settle(three, delivered()), true);
      t.same(idsOf(await store.deliveries.claim('E2', 9, 60_000, 69_000)), ['a2', 'a3']);
    },
  },
  {
    name: 'requeue makes deliveries due that a clock ahead recorded',
    run: async (t, { store }) => {
      await owe(store, 3, ['E1']);
      t.same(
        idsOf(await store.deliveries.claim('E1', 9, 150, 5_000)),
        ['a1'],
        'a delivery recorded in the future is not due',
      );
      t.equal(await store.deliveries.requeue('E1', 150, 'waiting', 9), 2);
      t.match(await store.deliveries.backlog(), [{ nextDueMs: 150 }]);
      t.same(idsOf(await store.deliveries.claim('E1', 9, 150, 5_000)), ['a2', 'a3']);
    },
  },
  {
    name: 'requeue is bounded, starts with the oldest, and returns the count',
    run: async (t, { store }) => {
      await owe(store, 7);
      for (const claimed of await store.deliveries.claim('E1', 7, 1_000, 2_000)) {
        await store.deliveries.settle(claimed, failed(90_000));
      }
      t.equal(await store.deliveries.requeue('E1', 1_500, 'waiting', 3), 3);
      t.same(idsOf(await store.deliveries.claim('E1', 9, 1_500, 60_000)), ['a1', 'a2', 'a3']);
      t.equal(await store.deliveries.requeue('E1', 1_500, 'waiting', 3), 3, 'leased deliveries are left alone');
      t.equal(await store.deliveries.requeue('E1', 1_500, 'waiting', 3), 1);
      t.equal(await store.deliveries.requeue('E1', 1_500, 'waiting', 3), 0);
      t.same(idsOf(await store.deliveries.claim('E1', 9, 1_500, 60_000)), ['a4', 'a5', 'a6', 'a7']);
      t.equal(await store.deliveries.requeue('E9', 1_500, 'waiting', 3), 0);
    },
  },
  {
    name: 'a claim returns up to its limit, however many deliveries have expired waits',
    run: async (t, { store }) => {
      const half = 500;
      const audits = Array.from({ length: 3 * half }, (_, i) => audit(`b${i}`, { recordedMs: i, deliverTo: ['E1'] }));
      await store.commit(unit({ audits }));
      t.equal((await store.deliveries.claim('E1', 3 * half, 2_000, 3_000)).length, 3 * half);
      t.equal((await store.deliveries.claim('E1', 2 * half, 3_000, 9_000)).length, 2 * half, 'all leases have expired');
      t.equal((await store.deliveries.claim('E1', 2 * half, 3_000, 9_000)).length, half);
      t.equal((await store.deliveries.claim('E1', 2 * half, 3_000, 9_000)).length, 0);
    },
  },
  {
    name: 'a lease that a clock ahead made does not delay its delivery',
    run: async (t, { store }) => {
      await owe(store, 2);
      const ahead = await claimOne(store, 90_000_000, 90_001_000);
      t.same(idsOf(await store.deliveries.claim('E1', 1, 1_000, 2_000)), ['a1'], 'its lease ends in a day');
      t.equal(await store.deliveries.settle(ahead, failed(9_000)), false);
      t.equal((await store.deliveries.claim('E1', 1, 1_100, 2_100)).length, 1);
      t.same(await store.deliveries.claim('E1', 9, 1_200, 2_200), [], 'possible leases are kept');
    },
  },
  {
    name: 'a parked delivery is counted separately, still tried, and reset by a replay',
    run: async (t, { store, reopen }) => {
      await owe(store, 3);
      const first = await claimOne(store, 1_000, 2_000);
      t.equal(first.parked, false);
      t.equal(await store.deliveries.settle(first, failed(5_000, { park: true })), true);
      const counts = { undelivered: 3, parked: 1, oldestRecordedMs: 200, oldestParkedMs: 100, unmatched: 0, leased: 0 };
      t.match(await store.deliveries.backlog(), [counts]);
      const again = await reopen();
      t.match(await again.deliveries.backlog(), [counts]);
      const [tried] = await again.deliveries.claim('E1', 1, 5_000, 6_000);
      t.match(tried, { auditId: 'a1', parked: true, attempts: 1 });
      t.match(await again.deliveries.backlog(), [{ ...counts, leased: 1 }]);
      t.equal(await again.deliveries.requeue('E1', 5_500, 'parked', 9), 0, 'a leased delivery is left alone');
      if (tried === undefined) return;
      await again.deliveries.settle(tried, failed(90_000));
      t.match(await again.deliveries.backlog(), [{ ...counts, nextDueMs: 200 }], 'it stays parked');
      t.equal(await again.deliveries.requeue('E1', 6_000, 'parked', 9), 1);
      t.match(await again.deliveries.backlog(), [{ parked: 0, oldestRecordedMs: 100, oldestParkedMs: undefined }]);
      const replayed = await claimOne(again, 6_000, 9_000);
      t.match(replayed, { auditId: 'a1', parked: false, attempts: 0 });
      await again.deliveries.settle(replayed, failed(9_000, { park: true }));
      t.equal(await again.deliveries.settle(replayed, delivered('s1')), true);
      t.match(await again.deliveries.backlog(), [{ undelivered: 2, parked: 0, delivered: 1 }]);
    },
  },
  {
    name: 'an unmatched delivery is neither undelivered nor claimed until it is requeued; a success still counts',
    run: async (t, { store, reopen }) => {
      await owe(store, 3);
      const [one, two] = await store.deliveries.claim('E1', 2, 1_000, 2_000);
      if (one === undefined || two === undefined) throw new Error('two are due');
      t.equal(await store.deliveries.settle(one, { kind: 'unmatched', atMs: 1_500 }), true);
      t.equal(await store.deliveries.settle(one, { kind: 'unmatched', atMs: 1_500 }), false, 'the lease is gone');
      t.equal(await store.deliveries.settle(two, { kind: 'unmatched', atMs: 1_400 }), true);
      t.match(await store.deliveries.backlog(), [
        {
          undelivered: 1,
          unmatched: 2,
          oldestUnmatchedMs: 100,
          leased: 0,
          oldestRecordedMs: 300,
          nextDueMs: 300,
          delivered: 0,
        },
      ]);
      const again = await reopen();
      t.equal(await again.deliveries.requeue('E1', 9_000, 'waiting', 9), 0);
      t.same(idsOf(await again.deliveries.claim('E1', 9, 50_000, 90_000)), ['a3']);
      t.equal(await again.deliveries.requeue('E1', 1_400, 'unmatched', 9), 0, 'none was marked unmatched earlier');
      t.equal(await again.deliveries.requeue('E1', 1_500, 'unmatched-ahead', 9), 0, 'none was marked unmatched later');
      t.equal(await again.deliveries.requeue('E1', 1_501, 'unmatched', 1), 1);
      t.match(await again.deliveries.backlog(), [{ undelivered: 2, unmatched: 1, oldestRecordedMs: 200 }]);
      const [back, ...rest] = await again.deliveries.claim('E1', 9, 1_500, 90_000);
      t.same([back?.auditId, rest], ['a2', []], 'the earliest mark comes first');
      if (back !== undefined) await again.deliveries.settle(back, { kind: 'unmatched', atMs: 1_501 });
      t.equal(await again.deliveries.requeue('E1', 1_501, 'unmatched', 9), 1, 'a new mark is not requeued');
      t.same(idsOf(await again.deliveries.claim('E1', 9, 1_501, 90_000)), ['a1']);
      t.equal(await again.deliveries.settle(two, delivered('s1')), true);
      t.match(await again.deliveries.backlog(), [{ undelivered: 2, unmatched: 0, delivered: 1 }]);
    },
  },
  {
    name: 'deliveries marked unmatched by a clock ahead are requeued separately',
    run: async (t, { store }) => {
      await owe(store, 3);
      const claimed = await store.deliveries.claim('E1', 3, 1_000, 2_000);
      for (const [index, each] of claimed.entries())
        await store.deliveries.settle(each, { kind: 'unmatched', atMs: [1_500, 90_000, 80_000][index] ?? 0 });
      t.equal(await store.deliveries.requeue('E1', 1_600, 'unmatched-ahead', 1), 1);
      t.same(idsOf(await store.deliveries.claim('E1', 9, 1_600, 90_000)), ['a3'], 'the earliest mark comes first');
      t.equal(await store.deliveries.requeue('E1', 1_600, 'unmatched-ahead', 9), 1);
      t.equal(await store.deliveries.requeue('E1', 1_600, 'unmatched-ahead', 9), 0);
      t.same(idsOf(await store.deliveries.claim('E1', 9, 1_600, 90_000)), ['a2']);
      t.match(await store.deliveries.backlog(), [{ undelivered: 2, unmatched: 1 }]);
    },
  },
  {
    name: 'a breach is recorded once and kept',
    run: async (t, { store, reopen }) => {
      t.same(await store.deliveries.breaches(9), []);
      const overdue = { authority: 'E1', kind: 'overdue', oldestRecordedMs: 100, atMs: 5_000, undelivered: 3 } as const;
      t.equal(await store.deliveries.recordBreach(overdue), true);
      t.equal(await store.deliveries.recordBreach({ ...overdue, atMs: 6_000 }), false);
      const others = [
        { ...overdue, kind: 'parked', atMs: 7_000 },
        { ...overdue, authority: 'E2', atMs: 8_000 },
      ] as const;
      for (const other of others) t.equal(await store.deliveries.recordBreach(other), true);
      const again = await reopen();
      t.same(await again.deliveries.breaches(9), [others[1], others[0], overdue]);
      t.same(await again.deliveries.breaches(1), [others[1]]);
      t.same(await again.deliveries.breaches(9, 'E1'), [others[0], overdue]);
      t.equal(await again.deliveries.recordBreach(overdue), false);
    },
  },
  {
    name: 'the backlog survives reopening, and nothing is lost or delivered twice under concurrency',
    run: async (t, { store, reopen }) => {
      await owe(store, 40, ['E1', 'E2']);
      const settled: string[] = [];
      const work = async (authority: string, seed: number) => {
        for (let round = 0; ; round++) {
          const nowMs = 10_000 + round * 1_000;
          const claimed = await store.deliveries.claim(authority, 3, nowMs, nowMs + 100_000);
          if (claimed.length === 0) return;
          for (const delivery of claimed) {
            const fails =
              (delivery.attempts === 0 && Number(delivery.auditId.slice(1)) % 3 === seed) || settled.length > 60;
            const done = await store.deliveries.settle(delivery, fails ? failed(900_000) : delivered('s'));
            if (done && !fails) settled.push(`${authority}/${delivery.auditId}`);
          }
        }
      };
      await Promise.all([work('E1', 0), work('E1', 1), work('E2', 2), work('E2', 0)]);
      const again = await reopen();
      const backlog = await again.deliveries.backlog();
      t.equal(new Set(settled).size, settled.length);
      let left = 0;
      for (const { authority, undelivered, delivered: done, leased } of backlog) {
        t.equal(leased, 0);
        t.equal(undelivered + done, 40);
        t.equal(done, settled.filter((key) => key.startsWith(authority)).length);
        left += idsOf(await again.deliveries.claim(authority, 100, 900_000, 950_000)).length;
      }
      t.equal(left + settled.length, 80);
    },
  },
  {
    name: 'undelivered deliveries are handed over to another authority, in every state, and delivered ones stay',
    run: async (t, { store, reopen }) => {
      await owe(store, 6);
      await store.commit(unit({ audits: [audit('both', { recordedMs: 700, deliverTo: ['E2', 'E1'] })] }));
      await store.commit(unit({ audits: [audit('other', { recordedMs: 800, deliverTo: ['E3', 'E1'] })] }));
      const claimed = await store.deliveries.claim('E1', 5, 600, 2_000);
      const [one, two, three, four, leased] = claimed;
      if (!one || !two || !three || !four || !leased) throw new Error('five are due');
      await store.deliveries.settle(one, delivered('s1'));
      await store.deliveries.settle(two, failed(90_000, { acknowledgedBy: ['s1'], park: true }));
      await store.deliveries.settle(three, failed(90_000));
      await store.deliveries.settle(four, { kind: 'unmatched', atMs: 650 });
      const all = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'both', 'other', 'never'];
      t.same(await store.deliveries.handOver('E1', 'E2', all, 1_000), ['a2', 'a3', 'a4', 'a5', 'a6', 'other']);
      t.same(await store.deliveries.handOver('E1', 'E2', all, 1_000), [], 'once');
      const again = await reopen();
      t.match(await again.deliveries.backlog(), [
        { authority: 'E1', undelivered: 0, leased: 0, parked: 0, unmatched: 0, delivered: 1, nextDueMs: undefined },
        { authority: 'E2', undelivered: 7, leased: 0, parked: 0, unmatched: 0, delivered: 0, oldestRecordedMs: 200 },
        { authority: 'E3', undelivered: 1 },
      ]);
      t.same(await again.deliveries.owed('E1', 9), []);
      t.equal(await again.deliveries.settle(leased, delivered('s1')), false, 'the old lease settles nothing');
      t.equal(await again.deliveries.settle(leased, failed(9_000)), false);
      t.equal(await again.deliveries.extend(leased, 9_000), false);
      t.same(idsOf(await again.deliveries.claim('E1', 9, 1_000_000, 1_100_000)), []);
      t.same(idsOf(await again.deliveries.claim('E2', 9, 999, 1_100_000)), ['both'], 'not due before the hand-over');
      const handed = await again.deliveries.claim('E2', 9, 1_000, 1_100_000);
      t.same(idsOf(handed), ['a2', 'a3', 'a4', 'a5', 'a6', 'other']);
      t.match(handed[0], { authority: 'E2', attempts: 0, parked: false, acknowledgedBy: [], recordedMs: 200 });
      for (const each of handed) t.equal(await again.deliveries.settle(each, delivered('s2')), true);
      t.match(await again.deliveries.backlog(), [
        { undelivered: 0, delivered: 1 },
        { undelivered: 1, delivered: 6, unmatched: 0 },
        { undelivered: 1 },
      ]);
    },
  },
  {
    name: 'a delivery ends without a successor, or when the successor has or had its own',
    run: async (t, { store, reopen }) => {
      await owe(store, 2, ['E1', 'E2']);
      await owe3(store);
      const [first] = await store.deliveries.claim('E2', 1, 1_000, 9_000);
      if (first !== undefined) await store.deliveries.settle(first, delivered('s2'));
      t.same(await store.deliveries.handOver('E1', 'E2', ['a1', 'a2'], 1_000), []);
      t.same(await store.deliveries.handOver('E1', undefined, ['a3'], 1_000), []);
      const again = await reopen();
      const rows = new Map((await again.deliveries.backlog()).map((row) => [row.authority, row]));
      t.match(rows.get('E2'), { undelivered: 1, delivered: 1 });
      t.same([rows.get('E1')?.undelivered ?? 0, rows.get('E1')?.delivered ?? 0], [0, 0]);
      t.same(idsOf(await again.deliveries.claim('E1', 9, 1_000_000, 1_100_000)), []);
    },
  },
];
