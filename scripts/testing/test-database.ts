/** The MongoDB server that the test files of one run share. */
import { openOwnMongoServer } from '../../test/support/mongo-server.ts';

export interface TestDatabase {
  /** The environment variables that name the server to the test files. */
  readonly env: Readonly<Record<string, string>>;
  close(): Promise<void>;
}

/**
 * Starts a server if one of the files needs it and CPIS_TEST_MONGODB_URL does not name one. Throws MongodMissing with
 * what to do if there is none: the tests of the MongoDB store are never left out silently.
 */
export async function openTestDatabase(files: readonly string[]): Promise<TestDatabase> {
  const isNeeded = files.some((file) => file.includes('test/store/mongo/'));
  if (!isNeeded || process.env['CPIS_TEST_MONGODB_URL'] !== undefined) {
    return { env: {}, close: () => Promise.resolve() };
  }
  const ends: (() => unknown)[] = [];
  const { url } = await openOwnMongoServer({ teardown: (end) => ends.push(end) });
  return {
    env: { CPIS_TEST_MONGODB_URL: url },
    async close() {
      for (const end of ends) await end();
    },
  };
}
