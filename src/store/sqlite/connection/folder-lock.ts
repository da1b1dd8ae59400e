/** One process per data folder: an exclusive lock that the operating system drops when the process dies, kill -9 too. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { StoreStartError } from '../../store-start-error.ts';
import { sqliteFailure } from './sqlite-failure.ts';

/** Takes the lock of a folder; returns its release. Throws StoreStartError when another store holds it. */
export function lockFolder(folder: string): () => void {
  const db = new DatabaseSync(join(folder, 'lock'), { timeout: 0 });
  try {
    db.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    db.close();
    if (sqliteFailure(error) !== 'busy') throw error;
    throw new StoreStartError(`The data folder ${folder} is in use by another process.`, { cause: error });
  }
  return () => {
    if (db.isOpen) db.close();
  };
}
