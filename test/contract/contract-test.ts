import type { Test } from 'tap';
import type { Store } from '../../src/store/store.ts';

export interface OpenedStore {
  /** An empty store. */
  readonly store: Store;
  /** Closes the store and opens it again on the same data. Do not use the old store afterwards. */
  readonly reopen: () => Promise<Store>;
}

export interface ContractTest {
  readonly name: string;
  readonly run: (t: Test, opened: OpenedStore) => Promise<void>;
}
