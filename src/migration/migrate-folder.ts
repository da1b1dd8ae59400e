/** Migrates a data folder to a MongoDB database. Only this file knows both stores. */
import type { MongodbSettings } from '../settings/settings.ts';
import { openMongoImport } from '../store/mongo/import/open-mongo-import.ts';
import { openSqliteExport } from '../store/sqlite/export/open-sqlite-export.ts';
import type { CopyKind } from '../store/store-copy.ts';
import { type MigrationOptions, migrateStore } from './migrate-store.ts';

/**
 * Copies everything and compares it, continuing an interrupted run. Returns the kinds that differ at the end; if none does,
 * the database is complete. Throws StoreStartError if the folder or the database cannot be used.
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
