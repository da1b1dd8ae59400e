/** Migrates a data folder to a MongoDB database. Only this file copies from one store to the other. */
import type { MongodbSettings } from '../settings/settings.ts';
import { openMongoImport } from '../store/mongo/import/open-mongo-import.ts';
import { openSqliteExport } from '../store/sqlite/export/open-sqlite-export.ts';
import type { CopyKind } from '../store/store-copy.ts';
import { type MigrationOptions, migrateStore } from './migrate-store.ts';

/**
 * Copies everything and compares it, continuing an interrupted run. Returns the kinds of record that differ; an empty list
 * means the copy is complete. Throws StoreStartError if the folder or the database cannot be used.
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
