import { existsSync } from 'node:fs';
import { ferretDbProgram } from '../../scripts/install-ferretdb.ts';
import { openDatabaseProcess } from './database-process.ts';
import type { MongoTestServer } from './mongo-server.ts';
import type { Teardown } from './running-server.ts';

/** Why there is no FerretDB to test on; undefined: there is one. */
export const noFerretDb: string | undefined = existsSync(ferretDbProgram())
  ? undefined
  : 'FerretDB is not installed: run `node scripts/install-ferretdb.ts`';

/** FerretDB with its SQLite backend, of the test's own: one command at a time, unless it is left as it is. */
export function openFerretDb(t: Teardown, ...asItIs: readonly 'as-it-is'[]): Promise<MongoTestServer> {
  return openDatabaseProcess(t, ['no-index'], (folder, port) => [ferretDbProgram(), folder, String(port), ...asItIs]);
}
