/** The tests that every store passes. The test of an adapter calls `storeContract` with a function that opens a store. */
import type { Test } from 'tap';
import { auditTests } from './audit-contract.ts';
import { conditionTests } from './condition-contract.ts';
import type { ContractTest, OpenedStore } from './contract-test.ts';
import { deliveryTests } from './delivery-contract.ts';
import { historyTests } from './history-contract.ts';
import { labelsTests } from './labels-contract.ts';
import { modelTests } from './model-contract.ts';
import { searchTests } from './search-contract.ts';
import { subscriptionEventsTests } from './subscription-events-contract.ts';
import { writeTests } from './write-contract.ts';

export interface StoreContractOptions {
  readonly name: string;
  /** Opens an empty store. Releases everything in `t.teardown`. */
  readonly open: (t: Test) => Promise<OpenedStore>;
  /** Names of tests that this store does not pass, and why not. */
  readonly skip?: readonly { readonly reason: string; readonly tests: readonly string[] }[];
}

const tests: readonly ContractTest[] = [
  ...writeTests,
  ...conditionTests,
  ...searchTests,
  ...historyTests,
  ...labelsTests,
  ...modelTests,
  ...auditTests,
  ...deliveryTests,
  ...subscriptionEventsTests,
];

/** Registers every contract test on `t`, each with its own empty store. */
export async function storeContract(t: Test, { name, open, skip = [] }: StoreContractOptions): Promise<void> {
  await t.test(`store contract: ${name}`, async (suite) => {
    for (const { name: testName, run } of tests) {
      const skipped = skip.find((entry) => entry.tests.includes(testName));
      if (skipped !== undefined) await suite.test(testName, { skip: skipped.reason }, async () => undefined);
      else await suite.test(testName, async (test) => run(test, await open(test)));
    }
  });
}
