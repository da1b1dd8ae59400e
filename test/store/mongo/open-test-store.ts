import type { Test } from 'tap';
import { type MongoStore, type MongoStoreOptions, openMongoStore } from '../../../src/store/mongo/open-mongo-store.ts';
import type { ServerFlaw } from '../../contract/store-contract.ts';
import type { MongoTestServer } from '../../support/mongo-server.ts';

export interface OpenedMongoStore {
  readonly store: MongoStore;
  readonly reopen: () => Promise<MongoStore>;
  readonly url: string;
  readonly flaws: readonly ServerFlaw[];
}

/** Opens an empty store in a database of its own; it is closed at the end of the test. A background error fails the test. */
export async function openTestStore(
  t: Test,
  server: MongoTestServer,
  options: Partial<MongoStoreOptions> = {},
): Promise<OpenedMongoStore> {
  const url = options.url ?? server.newDatabaseUrl();
  const openAgain = () =>
    openMongoStore({
      timeoutMs: 10_000,
      dangerouslyAllowStandalone: !server.isReplicaSet,
      onError: (error) => t.error(error),
      ...options,
      url,
    });
  let store = await openAgain();
  t.teardown(() => store.close());
  const reopen = async () => {
    await store.close();
    store = await openAgain();
    return store;
  };
  return { store, reopen, url, flaws: server.flaws };
}
