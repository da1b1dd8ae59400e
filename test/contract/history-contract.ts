import type { HistoryPlan, HistoryScope } from '../../src/store/history.ts';
import type { Store } from '../../src/store/store.ts';
import type { ContractTest } from './contract-test.ts';
import { unit, write } from './fixtures.ts';

const ofFlags = (...labels: string[]): HistoryScope => ({ type: 'Flag', now: labels, written: labels });

function plan(changes: Partial<HistoryPlan> = {}): HistoryPlan {
  return { scopes: [ofFlags('owner:a')], limit: 100, total: false, ...changes };
}

/** Returns `id/version` of each entry, over all pages of the plan. */
async function historyOf(
  store: Store,
  first: HistoryPlan,
  betweenPages?: (page: number) => Promise<void>,
): Promise<string[]> {
  const names: string[] = [];
  let page = await store.history(first);
  for (let number = 1; ; number += 1) {
    names.push(...page.entries.map(({ id, version }) => `${id}/${version}`));
    if (page.next === undefined) return names;
    await betweenPages?.(number);
    page = await store.history({ ...first, after: page.next });
  }
}

const owned = { labels: ['owner:a'] };

/** Writes f1 at 10 and 30, deleted at 50; f2 at 20 and 40; f3, which another authority owns, at 35. */
async function writeSome(store: Store): Promise<void> {
  const deletion = { version: 3, body: null, method: 'DELETE' } as const;
  for (const next of [
    write('f1', { ...owned, lastUpdatedMs: 10 }),
    write('f2', { ...owned, lastUpdatedMs: 20 }),
    write('f1', { ...owned, version: 2, lastUpdatedMs: 30 }),
    write('f3', { labels: ['owner:b'], lastUpdatedMs: 35 }),
    write('f2', { ...owned, version: 2, lastUpdatedMs: 40 }),
    write('f1', { ...owned, ...deletion, lastUpdatedMs: 50 }),
  ]) {
    await store.commit(unit({ writes: [next] }));
  }
}

export const historyTests: readonly ContractTest[] = [
  {
    name: 'history: every version that the labels allow, newest first, with deletions',
    run: async (t, { store, reopen }) => {
      t.same(await store.history(plan()), { entries: [], next: undefined, total: undefined });
      await writeSome(store);
      const whole = await store.history(plan({ total: true }));
      t.same(whole, {
        entries: [
          { type: 'Flag', id: 'f1', version: 3, lastUpdatedMs: 50, method: 'DELETE', body: null },
          {
            type: 'Flag',
            id: 'f2',
            version: 2,
            lastUpdatedMs: 40,
            method: 'PUT',
            body: write('f2', { version: 2 }).body,
          },
          {
            type: 'Flag',
            id: 'f1',
            version: 2,
            lastUpdatedMs: 30,
            method: 'PUT',
            body: write('f1', { version: 2 }).body,
          },
          { type: 'Flag', id: 'f2', version: 1, lastUpdatedMs: 20, method: 'POST', body: write('f2').body },
          { type: 'Flag', id: 'f1', version: 1, lastUpdatedMs: 10, method: 'POST', body: write('f1').body },
        ],
        next: undefined,
        total: 5,
      });
      t.same(await historyOf(store, plan({ scopes: [ofFlags('owner:b', 'owner:c')] })), ['f3/1']);
      t.same(await historyOf(store, plan({ scopes: [ofFlags('owner:a', 'owner:b')] })), [
        'f1/3',
        'f2/2',
        'f3/1',
        'f1/2',
        'f2/1',
        'f1/1',
      ]);
      t.same(await historyOf(store, plan({ scopes: [] })), []);
      t.same(await historyOf(store, plan({ scopes: [ofFlags()] })), []);
      t.same(await historyOf(store, plan({ id: 'f1' })), ['f1/3', 'f1/2', 'f1/1']);
      t.same(await historyOf(store, plan({ id: 'f3' })), [], 'another owner has it');
      t.same(await historyOf(store, plan({ id: 'f9' })), [], 'it does not exist');
      t.same(await store.history(plan({ id: 'f1', limit: 0, total: true })), {
        entries: [],
        next: undefined,
        total: 3,
      });
      t.same((await (await reopen()).history(plan({ total: true }))).total, 5);
    },
  },
  {
    name: 'history: since, at and pages',
    run: async (t, { store }) => {
      await writeSome(store);
      t.same(await historyOf(store, plan({ sinceMs: 30 })), ['f1/3', 'f2/2', 'f1/2'], 'since is inclusive');
      t.same(await historyOf(store, plan({ id: 'f1', sinceMs: 31 })), ['f1/3']);
      t.same(await historyOf(store, plan({ at: { startMs: 25, endMs: 26 } })), ['f2/1', 'f1/1']);
      t.same(
        await historyOf(store, plan({ at: { startMs: 30, endMs: 31 } })),
        ['f1/2', 'f2/1'],
        'replaced at that moment',
      );
      t.same(await historyOf(store, plan({ at: { startMs: 25, endMs: 41 } })), ['f2/2', 'f1/2', 'f2/1', 'f1/1']);
      t.same(await historyOf(store, plan({ at: { startMs: 45, endMs: 51 } })), ['f1/3', 'f2/2', 'f1/2']);
      t.same(await historyOf(store, plan({ at: { startMs: 60, endMs: 61 } })), ['f2/2'], 'deleted before');
      t.same(await historyOf(store, plan({ id: 'f1', at: { startMs: 10, endMs: 11 } })), ['f1/1']);
      t.same(await historyOf(store, plan({ at: { startMs: 1, endMs: 10 } })), []);
      t.same(await historyOf(store, plan({ sinceMs: 20, at: { startMs: 25, endMs: 26 } })), ['f2/1'], 'both');

      const all = ['f1/3', 'f2/2', 'f1/2', 'f2/1', 'f1/1'];
      for (const limit of [1, 2, 5]) t.same(await historyOf(store, plan({ limit })), all, `pages of ${limit}`);
      t.same(await historyOf(store, plan({ id: 'f1', limit: 1 })), ['f1/3', 'f1/2', 'f1/1']);
      t.same(await historyOf(store, plan({ limit: 1, sinceMs: 20 })), all.slice(0, 4));
      const second = await store.history(
        plan({ limit: 2, after: (await store.history(plan({ limit: 2 }))).next ?? [] }),
      );
      t.same(second.total, undefined);
      const counted = await store.history(plan({ limit: 2, total: true, after: second.next ?? [] }));
      t.match(counted, { entries: [{ id: 'f1', version: 1 }], total: 5 }, 'the total counts all pages');
      const written = await historyOf(store, plan({ limit: 2 }), async (page) => {
        await store.commit(unit({ writes: [write(`new${page}`, { ...owned, lastUpdatedMs: 100 + page })] }));
      });
      t.same(written, all, 'writes between the pages do not change them');

      const atOnce = Array.from({ length: 5 }, (_, index) => write(`t${index}`, { ...owned, lastUpdatedMs: 200 }));
      await store.commit(unit({ writes: atOnce }));
      await store.commit(unit({ writes: [write('t0', { ...owned, version: 2, lastUpdatedMs: 200 })] }));
      const tied = await historyOf(store, plan({ limit: 2, sinceMs: 200 }));
      t.equal(new Set(tied).size, 6, 'with equal times each version is on one page');
      t.equal(tied.length, 6);
      t.ok(tied.indexOf('t0/2') < tied.indexOf('t0/1'), 'versions of one resource are in order');
    },
  },
  {
    name: 'history: current labels give access to a resource, the labels of a past version to that version',
    run: async (t, { store }) => {
      const patients: HistoryScope = { type: 'Patient', now: ['viewer:a'], written: ['viewer:a', 'submitter:a'] };
      const asked = plan({ scopes: [patients] });
      const of = async (id?: string): Promise<string[]> =>
        historyOf(store, id === undefined ? asked : plan({ scopes: [patients], id }));
      const put = (version: number, ...labels: string[]) =>
        unit({ writes: [write('p1', { type: 'Patient', version, lastUpdatedMs: 100 * version, labels })] });
      const guard = (expectRevision: number, ...labels: string[]) =>
        unit({ guards: [{ type: 'Patient', id: 'p1', expectRevision, labels }] });

      await store.commit(put(1, 'submitter:b'));
      await store.commit(put(2, 'submitter:a'));
      t.same(await of(), [], 'a label in `written` alone gives no access');
      t.same(await of('p1'), []);
      await store.commit(guard(2, 'viewer:a', 'submitter:a'));
      t.same(await of(), ['p1/2'], 'version 1 was written with other labels');
      t.same(await of('p1'), ['p1/2']);
      await store.commit(put(3, 'viewer:b'));
      t.same(await of(), []);
      await store.commit(guard(4, 'viewer:a', 'viewer:b'));
      t.same(await of(), ['p1/3', 'p1/2'], 'the current version needs current labels only');
      await store.commit(put(4, 'viewer:a', 'submitter:a'));
      t.same(await of(), ['p1/4', 'p1/2'], 'version 3 was written for others');
      t.same(await of('p1'), ['p1/4', 'p1/2']);
      t.equal(
        (await store.history({ ...asked, total: true })).total,
        2,
        'one entry for each version, however many labels match',
      );
      const at = { startMs: 350, endMs: 351 };
      t.same(await historyOf(store, { ...asked, at }), ['p1/2'], 'the start of an excluded version is not disclosed');

      await store.commit(unit({ writes: [write('f1', { ...owned, lastUpdatedMs: 250 })] }));
      const system = plan({ scopes: [patients, ofFlags('owner:a')] });
      t.same(await historyOf(store, system), ['p1/4', 'f1/1', 'p1/2'], 'several types in one order');
      t.same(await historyOf(store, { ...system, limit: 1 }), ['p1/4', 'f1/1', 'p1/2']);
      await store.commit(guard(6, 'viewer:b', 'submitter:a'));
      t.same(await historyOf(store, system), ['f1/1']);
      t.same(await of('p1'), []);
    },
  },
  {
    name: 'history: a resource has any number of versions, each read alone and on its page',
    run: async (t, { store, reopen }) => {
      const count = 1_500;
      for (let version = 1; version <= count; version += 1) {
        const written = unit({ writes: [write('f1', { ...owned, version, lastUpdatedMs: 1_000 + version })] });
        if ((await store.commit(written)).kind !== 'committed') throw new Error(`version ${version} is refused`);
      }
      await store.commit(unit({ writes: [write('f2', { ...owned, lastUpdatedMs: 5 })] }));
      const again = await reopen();
      for (const version of [1, 1_001, count]) {
        t.match(await again.readVersion('Flag', 'f1', version), {
          kind: 'found',
          resource: { version, body: write('f1', { version }).body, revision: version === count ? count : 0 },
        });
      }
      for (const version of [0, count + 1]) t.same(await again.readVersion('Flag', 'f1', version), { kind: 'absent' });
      const newestFirst = Array.from({ length: count }, (_, index) => `f1/${count - index}`);
      t.same(await historyOf(again, plan({ id: 'f1', limit: 400 })), newestFirst);
      t.same(await historyOf(again, plan({ limit: 400 })), [...newestFirst, 'f2/1']);
      const totals = { limit: 0, total: true };
      t.equal((await again.history(plan({ id: 'f1', ...totals }))).total, count);
      t.equal((await again.history(plan(totals))).total, count + 1);
      t.same(await historyOf(again, plan({ id: 'f1', at: { startMs: 1_500, endMs: 1_502 } })), ['f1/501', 'f1/500']);
    },
  },
  {
    name: 'history: a former owner sees the versions that it wrote, and not the current one of another',
    run: async (t, { store, reopen }) => {
      await writeSome(store);
      const passed = { labels: ['owner:b', 'former:a'] };
      await store.commit(unit({ writes: [write('f2', { ...passed, version: 3, lastUpdatedMs: 60 })] }));
      await store.commit(unit({ writes: [write('f2', { ...passed, version: 4, lastUpdatedMs: 70 })] }));
      const former: HistoryScope = { type: 'Flag', now: ['owner:a'], former: ['former:a'], written: ['owner:a'] };
      const owner: HistoryScope = {
        type: 'Flag',
        now: ['owner:b'],
        former: ['former:b'],
        written: ['owner:b', 'owner:a'],
      };
      const again = await reopen();
      t.same(await historyOf(again, plan({ scopes: [former] })), ['f1/3', 'f2/2', 'f1/2', 'f2/1', 'f1/1']);
      t.same(await historyOf(again, plan({ scopes: [former], limit: 1 })), ['f1/3', 'f2/2', 'f1/2', 'f2/1', 'f1/1']);
      t.same(await historyOf(again, plan({ scopes: [former], id: 'f2' })), ['f2/2', 'f2/1']);
      t.same(await historyOf(again, plan({ scopes: [former], id: 'f2', limit: 1 })), ['f2/2', 'f2/1']);
      t.equal((await again.history(plan({ scopes: [former], total: true }))).total, 5);
      t.equal((await again.history(plan({ scopes: [former], id: 'f2', total: true }))).total, 2);
      t.same(await historyOf(again, plan({ scopes: [former], at: { startMs: 65, endMs: 66 } })), ['f2/2']);
      t.same(await historyOf(again, plan({ scopes: [former], sinceMs: 40 })), ['f1/3', 'f2/2']);
      t.same(await historyOf(again, plan({ scopes: [owner], id: 'f2' })), ['f2/4', 'f2/3', 'f2/2', 'f2/1']);
      t.same(await historyOf(again, plan({ scopes: [owner], id: 'f2', at: { startMs: 45, endMs: 46 } })), ['f2/2']);
    },
  },
];
