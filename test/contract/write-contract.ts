import type { ContractTest } from './contract-test.ts';
import { audit, findIds, plan, readFound, token, unit, write } from './fixtures.ts';

const conflict = { kind: 'refused', reason: 'version-conflict', type: 'Flag', id: 'f1' };

export const writeTests: readonly ContractTest[] = [
  {
    name: 'versions: each write, deletions included, is a version that can be read',
    run: async (t, { store, reopen }) => {
      t.same(await store.read('Flag', 'f1'), { kind: 'absent' });
      t.same(await store.readVersion('Flag', 'f1', 1), { kind: 'absent' });
      const first = write('f1', { labels: ['a'], index: [token('status', 'active')], body: '{"text":"\\u0000 é 🦉"}' });
      t.same(await store.commit(unit({ writes: [first] })), { kind: 'committed' });
      t.same(await store.read('Flag', 'f1'), {
        kind: 'found',
        resource: {
          type: 'Flag',
          id: 'f1',
          version: 1,
          lastUpdatedMs: 1_001,
          body: '{"text":"\\u0000 é 🦉"}',
          labels: ['a'],
          revision: 1,
        },
      });
      await store.commit(unit({ writes: [write('f1', { version: 2, labels: ['b'] })] }));
      await store.commit(unit({ writes: [write('f1', { version: 3, labels: ['b'], body: null, method: 'DELETE' })] }));
      const deleted = { kind: 'deleted', version: 3, revision: 3, labels: ['b'] };
      t.same(await store.read('Flag', 'f1'), deleted);
      t.same(await store.readVersion('Flag', 'f1', 3), deleted);
      t.match(await store.readVersion('Flag', 'f1', 1), { kind: 'found', resource: { version: 1, revision: 0 } });
      t.match(await store.readVersion('Flag', 'f1', 2), { kind: 'found', resource: { labels: ['b'] } });
      t.same(await store.readVersion('Flag', 'f1', 4), { kind: 'absent' });
      t.same(await findIds(store, plan([])), [], 'a deleted resource is not found');
      await store.commit(unit({ writes: [write('f1', { version: 4 })] }));
      const again = await reopen();
      t.equal((await readFound(again, 'Flag', 'f1')).version, 4);
      t.match(await again.readVersion('Flag', 'f1', 3), { kind: 'deleted', version: 3 });
      t.same(await findIds(again, plan([])), ['f1']);
      t.same(
        await findIds(again, plan([{ kind: 'label', any: ['b'] }])),
        [],
        'no index value of a past version remains',
      );
    },
  },
  {
    name: 'preconditions: a write that is not the next version is refused and changes nothing',
    run: async (t, { store }) => {
      t.same(await store.commit(unit({ writes: [write('f1', { version: 2 })] })), conflict);
      t.same(await store.read('Flag', 'f1'), { kind: 'absent' });
      await store.commit(unit({ writes: [write('f1')] }));
      t.same(await store.commit(unit({ writes: [write('f1')] })), conflict);
      t.same(await store.commit(unit({ writes: [write('f1', { version: 3 })] })), conflict);
      const twice = unit({ writes: [write('f1', { version: 2 }), write('f1', { version: 2 })] });
      t.same(await store.commit(twice), conflict, 'a unit writes each resource at most once');
      t.match(await readFound(store, 'Flag', 'f1'), { version: 1, revision: 1 });
    },
  },
  {
    name: 'one of 50 parallel writes of one version is committed',
    run: async (t, { store }) => {
      await store.commit(unit({ writes: [write('f1')] }));
      const results = await Promise.all(
        Array.from({ length: 50 }, (_, i) =>
          store.commit(unit({ writes: [write('f1', { version: 2, body: String(i) })], audits: [audit(`a${i}`)] })),
        ),
      );
      const winners = results.flatMap((result, i) => (result.kind === 'committed' ? [i] : []));
      t.equal(winners.length, 1);
      t.equal((await readFound(store, 'Flag', 'f1')).body, String(winners[0]));
      t.same(await findIds(store, plan([], { type: 'AuditEvent' })), [`a${winners[0]}`]);
    },
  },
  {
    name: 'a unit is applied as a whole or not at all',
    run: async (t, { store, reopen }) => {
      await store.commit(unit({ writes: [write('f1'), write('p1', { type: 'Patient' })] }));
      const refused = unit({
        writes: [write('f2', { uniqueKeys: ['k'] }), write('p1', { type: 'Patient', version: 2 }), write('f1')],
        guards: [{ type: 'Patient', id: 'p1', expectRevision: 1, labels: ['x'] }],
        audits: [audit('a1', { deliverTo: ['E1'] })],
      });
      t.same(await store.commit(refused), conflict);
      const again = await reopen();
      t.same(await again.read('Flag', 'f2'), { kind: 'absent' });
      t.match(await readFound(again, 'Patient', 'p1'), { version: 1, revision: 1, labels: [] });
      t.same(await again.read('AuditEvent', 'a1'), { kind: 'absent' });
      t.same(await again.deliveries.backlog(), []);
      t.same(await again.commit({ ...refused, writes: refused.writes.slice(0, 2) }), { kind: 'committed' });
      t.match(await readFound(again, 'Patient', 'p1'), { version: 2, revision: 2 });
      t.match(await again.deliveries.backlog(), [{ authority: 'E1', undelivered: 1 }]);
      t.match(await readFound(again, 'AuditEvent', 'a1'), { version: 1, lastUpdatedMs: 1_000 });
    },
  },
  {
    name: 'guards protect what was read and replace labels without a new version',
    run: async (t, { store, reopen }) => {
      const first = { type: 'Patient', id: 'p1' };
      t.same(await store.commit(unit({ guards: [{ ...first, expectRevision: 0 }] })), { kind: 'committed' });
      t.same(await store.commit(unit({ guards: [{ ...first, expectRevision: 1 }] })), { ...conflict, ...first });
      await store.commit(unit({ writes: [write('p1', { type: 'Patient', labels: ['a'] })] }));
      t.same(await store.commit(unit({ guards: [{ ...first, expectRevision: 0 }] })), { ...conflict, ...first });
      t.same(await store.commit(unit({ guards: [{ ...first, expectRevision: 1, labels: ['b', 'c'] }] })), {
        kind: 'committed',
      });
      t.match(await readFound(store, 'Patient', 'p1'), { version: 1, revision: 2, labels: ['b', 'c'] });
      t.match(await store.readVersion('Patient', 'p1', 1), { resource: { labels: ['b', 'c'] } });
      const labelled = (label: string) => findIds(store, plan([{ kind: 'label', any: [label] }], { type: 'Patient' }));
      t.same(await labelled('a'), []);
      t.same(await labelled('c'), ['p1']);
      t.same(await store.commit(unit({ guards: [{ ...first, expectRevision: 2 }] })), { kind: 'committed' });
      t.match(await readFound(store, 'Patient', 'p1'), { revision: 3, labels: ['b', 'c'] });
      const both = unit({
        writes: [write('p1', { type: 'Patient', version: 2, labels: ['d'] })],
        guards: [{ ...first, expectRevision: 3, labels: ['ignored'] }],
      });
      t.same(await store.commit(both), { kind: 'committed' });
      const again = await reopen();
      t.match(await readFound(again, 'Patient', 'p1'), { version: 2, revision: 4, labels: ['d'] });
      await again.commit(unit({ writes: [write('p1', { type: 'Patient', version: 3, body: null, labels: ['d'] })] }));
      await again.commit(unit({ guards: [{ ...first, expectRevision: 5, labels: ['e'] }] }));
      t.same(await again.read('Patient', 'p1'), { kind: 'deleted', version: 3, revision: 6, labels: ['e'] });
    },
  },
  {
    name: 'one of several parallel guards with one expected revision is committed',
    run: async (t, { store }) => {
      await store.commit(unit({ writes: [write('p1', { type: 'Patient' })] }));
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.commit(unit({ writes: [write(`f${i}`)], guards: [{ type: 'Patient', id: 'p1', expectRevision: 1 }] })),
        ),
      );
      t.equal(results.filter(({ kind }) => kind === 'committed').length, 1);
      t.equal((await findIds(store, plan([]))).length, 1);
    },
  },
];
