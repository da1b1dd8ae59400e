/** From a data folder to a MongoDB database: the only file that knows both ends. */
import type { MongodbSettings } from '../settings/settings.ts';
import { openMongoImport } from '../store/mongo/import/open-mongo-import.ts';
import { openSqliteExport } from '../store/sqlite/export/open-sqlite-export.ts';
import type { CopyKind } from '../store/store-copy.ts';
import { type MigrationOptions, migrateStore } from './migrate-store.ts';

/**
 * Copies everything and compares it; a try that was cut off is gone on with. The kinds that differ at the end: with none
 * the database is complete. Throws StoreStartError when one of both cannot be used for it; Error when the folder is in use.
 */
export async function migrateFolder(
  folder: string,
  mongodb: MongodbSettings,
  options: MigrationOptions,
): Promise<readonly CopyKind[]> {
  const source = openSqliteExport(folder);
  try {
    const target = await openMongoImport(mongodb, source.fingerprint);
    try {
      return await migrateStore(source, target, options);
    } finally {
      await target.close();
    }
  } finally {
    source.close();
  }
}
