/** Allows one process per data folder. The operating system releases the lock when the process ends, even by kill -9. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { ensurePrivateFile } from '../../../files/exposure.ts';
import { StoreStartError } from '../../store-start-error.ts';
import { sqliteFailure } from './sqlite-failure.ts';

/** Locks a folder. Returns a function that unlocks it. Throws StoreStartError if another process holds the lock. */
export function lockFolder(folder: string): () => void {
  const file = join(folder, 'lock');
  ensurePrivateFile(file);
  const db = new DatabaseSync(file, { timeout: 0 });
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
