import type { Test } from 'tap';
import { openSqliteStore, type SqliteStoreOptions } from '../../../src/store/sqlite/open-sqlite-store.ts';
import type { OpenedStore } from '../../contract/contract-test.ts';

/** Opens an empty store in a folder of its own; it is closed at the end of the test. An I/O error fails the test. */
export async function openTestStore(
  t: Test,
  options: Partial<SqliteStoreOptions> = {},
): Promise<OpenedStore & { readonly folder: string }> {
  const folder = options.folder ?? t.testdir();
  const openAgain = () => openSqliteStore({ onFatal: (error) => t.error(error), ...options, folder });
  let store = await openAgain();
  t.teardown(() => store.close());
  const reopen = async () => {
    await store.close();
    store = await openAgain();
    return store;
  };
  return { store, reopen, folder };
}
