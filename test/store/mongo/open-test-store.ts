import type { Test } from 'tap';
import { type MongoStoreOptions, openMongoStore } from '../../../src/store/mongo/open-mongo-store.ts';
import type { Store } from '../../../src/store/store.ts';
import type { MongoTestServer } from '../../support/mongo-server.ts';

export interface OpenedMongoStore {
  readonly store: Store;
  readonly reopen: () => Promise<Store>;
  readonly url: string;
}

/** Opens an empty store in a database of its own, and closes it with the test. A background error fails the test. */
export async function openTestStore(
  t: Test,
  server: MongoTestServer,
  options: Partial<MongoStoreOptions> = {},
): Promise<OpenedMongoStore> {
  const url = options.url ?? server.newDatabaseUrl();
  const openAgain = () => openMongoStore({ timeoutMs: 60_000, onError: (error) => t.error(error), ...options, url });
  let store = await openAgain();
  t.teardown(() => store.close());
  const reopen = async () => {
    await store.close();
    store = await openAgain();
    return store;
  };
  return { store, reopen, url };
}
