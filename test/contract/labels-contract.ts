import type { ContractTest } from './contract-test.ts';
import { unit, write } from './fixtures.ts';

export const labelsTests: readonly ContractTest[] = [
  {
    name: 'lists the labels of a type that start with a prefix, each once, without those of deleted resources',
    async run(t, { store, reopen }) {
      t.same(await store.listLabels('Flag', 'owner:'), []);
      const owners = ['E09000003', 'E09000001', 'E09000002', 'E09000001', 'E09000004'];
      const writes = owners.map((owner, at) => write(`f${at}`, { labels: [`owner:${owner}`, `last-day:${at}`] }));
      writes.push(write('s1', { type: 'Subscription', labels: ['client:c', 'owner:E09000009'] }));
      writes.push(write('p1', { type: 'Patient', labels: ['owned', 'owner', 'ownership:x'] }));
      await store.commit(unit({ writes }));
      const all = ['owner:E09000001', 'owner:E09000002', 'owner:E09000003', 'owner:E09000004'];
      t.same([...(await store.listLabels('Flag', 'owner:'))].sort(), all);
      t.same(await store.listLabels('Subscription', 'owner:'), ['owner:E09000009']);
      t.same(await store.listLabels('Patient', 'owner:'), []);
      t.same([...(await store.listLabels('Patient', ''))].sort(), ['owned', 'owner', 'ownership:x']);

      await store.commit(unit({ writes: [write('f4', { version: 2, body: null, labels: ['owner:E09000004'] })] }));
      await store.commit(unit({ writes: [write('f0', { version: 2, labels: ['owner:E09000005'] })] }));
      await store.commit(
        unit({ guards: [{ type: 'Flag', id: 'f2', expectRevision: 1, labels: ['owner:E09000006'] }] }),
      );
      const left = ['owner:E09000001', 'owner:E09000005', 'owner:E09000006'];
      t.same([...(await store.listLabels('Flag', 'owner:'))].sort(), left);
      t.same([...(await (await reopen()).listLabels('Flag', 'owner:'))].sort(), left);
    },
  },
];
