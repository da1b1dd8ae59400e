import type { ContractTest } from './contract-test.ts';
import { findIds, plan, token, unit, write } from './fixtures.ts';

const identified = (value: string) =>
  plan([{ kind: 'token', param: 'identifier', negated: false, any: [{ system: 's', code: value }] }]);

export const conditionTests: readonly ContractTest[] = [
  {
    name: 'one resource of any type holds a unique key, for good',
    run: async (t, { store, reopen }) => {
      await store.commit(unit({ writes: [write('f1', { uniqueKeys: ['k1', 'k2', 'k2'] })] }));
      const taken = { kind: 'refused', reason: 'duplicate-key', existingId: 'f1' };
      t.same(await store.commit(unit({ writes: [write('f2', { uniqueKeys: ['k0', 'k2'] })] })), {
        ...taken,
        type: 'Flag',
        id: 'f2',
      });
      t.same(await store.commit(unit({ writes: [write('f1', { type: 'Patient', uniqueKeys: ['k1'] })] })), {
        ...taken,
        type: 'Patient',
        id: 'f1',
      });
      await store.commit(unit({ writes: [write('f1', { version: 2, uniqueKeys: ['k2', 'k3'] })] }));
      t.match(await store.commit(unit({ writes: [write('f3', { uniqueKeys: ['k1', 'k0'] })] })), taken, 'given up');
      const again = await reopen();
      t.match(await again.commit(unit({ writes: [write('f4', { uniqueKeys: ['k2'] })] })), taken);
      await again.commit(unit({ writes: [write('f1', { version: 3, body: null, method: 'DELETE' })] }));
      for (const key of ['k1', 'k2', 'k3']) {
        t.match(await again.commit(unit({ writes: [write('f4', { uniqueKeys: [key] })] })), taken, 'deleted');
      }
      const back = write('f1', { version: 4, uniqueKeys: ['k1', 'k4'] });
      t.same(await again.commit(unit({ writes: [back] })), { kind: 'committed' }, 'its own key');
      t.same(await again.commit(unit({ writes: [write('f4', { uniqueKeys: ['k0'] })] })), { kind: 'committed' });
    },
  },
  {
    name: 'a key does not change hands within a unit, and two writes of a unit cannot share one',
    run: async (t, { store }) => {
      await store.commit(unit({ writes: [write('f1', { uniqueKeys: ['k1'] })] }));
      const swap = [write('f2', { uniqueKeys: ['k1'] }), write('f1', { version: 2, uniqueKeys: ['k2'] })];
      t.match(await store.commit(unit({ writes: swap })), { reason: 'duplicate-key', id: 'f2', existingId: 'f1' });
      const shared = [write('f4', { uniqueKeys: ['k4'] }), write('f5', { uniqueKeys: ['k4'] })];
      t.match(await store.commit(unit({ writes: shared })), { reason: 'duplicate-key', id: 'f5', existingId: 'f4' });
      t.same(await findIds(store, plan([])), ['f1']);
    },
  },
  {
    name: 'one of 20 parallel writes with one unique key is committed',
    run: async (t, { store }) => {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) => store.commit(unit({ writes: [write(`f${i}`, { uniqueKeys: ['k'] })] }))),
      );
      t.equal(results.filter(({ kind }) => kind === 'committed').length, 1);
      t.equal(results.filter((result) => result.kind === 'refused' && result.reason === 'duplicate-key').length, 19);
    },
  },
  {
    name: 'one of 20 parallel conditional creates is committed, and the others receive its id',
    run: async (t, { store }) => {
      const results = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          store.commit(
            unit({
              writes: [write(`f${i}`, { index: [token('identifier', 'v', 's')], ifNoneExist: identified('v') })],
            }),
          ),
        ),
      );
      const [id, ...others] = await findIds(store, plan([]));
      t.same(others, []);
      const refused = results.filter((result) => result.kind === 'refused');
      t.equal(refused.length, 19);
      for (const result of refused) t.match(result, { reason: 'exists', type: 'Flag', existingId: id });
    },
  },
  {
    name: 'a conditional create considers current resources only, and reports one match and several differently',
    run: async (t, { store }) => {
      const index = [token('identifier', 'v', 's')];
      await store.commit(unit({ writes: [write('f1', { index }), write('f2', { index })] }));
      const conditional = unit({ writes: [write('f3', { index, ifNoneExist: identified('v') })] });
      t.same(await store.commit(conditional), { kind: 'refused', reason: 'multiple-matches', type: 'Flag', id: 'f3' });
      await store.commit(unit({ writes: [write('f1', { version: 2, body: null, method: 'DELETE', index })] }));
      t.match(await store.commit(conditional), { reason: 'exists', id: 'f3', existingId: 'f2' });
      await store.commit(unit({ writes: [write('f2', { version: 2 })] }));
      t.same(await store.commit(conditional), { kind: 'committed' });
    },
  },
  {
    name: 'a single-use key is accepted once, under concurrency and after reopening',
    run: async (t, { store, reopen }) => {
      const uses = await Promise.all(Array.from({ length: 20 }, () => store.useOnce('jti-1', 60_000, 1_000)));
      t.equal(uses.filter(Boolean).length, 1);
      t.equal(await store.useOnce('jti-2', 60_000, 1_000), true);
      const again = await reopen();
      t.equal(await again.useOnce('jti-1', 60_000, 59_999), false);
      t.equal(await again.useOnce('jti-3', 600_000, 120_000), true);
    },
  },
];
