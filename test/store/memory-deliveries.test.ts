import t from 'tap';
import type { Store } from '../../src/store/store.ts';
import { deliveryTests } from '../contract/delivery-contract.ts';
import { openMemoryDeliveries } from '../support/memory-deliveries.ts';

for (const { name, run } of deliveryTests) {
  t.test(`in-memory deliveries for simulations: ${name}`, async (t) => {
    const deliveries = openMemoryDeliveries();
    const parts: Pick<Store, 'commit' | 'deliveries'> = {
      commit: async ({ audits }) => {
        deliveries.add(audits);
        return { kind: 'committed' };
      },
      deliveries,
    };
    // The contract tests of deliveries use only these members of a store.
    const store = parts as Store;
    await run(t, { store, reopen: async () => store });
  });
}
