/** Opens connections to the database file and asserts that they are durable. https://www.sqlite.org/pragma.html */
import { DatabaseSync } from 'node:sqlite';
import { ensurePrivateFile, takeFromOthers } from '../../../files/exposure.ts';

export interface ConnectionOptions {
  readonly file: string;
  readonly use: 'read' | 'write';
  /** Maximum size of the file in pages of 4 KiB. Commits beyond it fail as on a full disk. */
  readonly maxPages?: number;
}

const busyTimeoutMs = 5_000;
/** Size of the page cache. Small for writing, because SQLite walks its whole cache table at almost every commit. */
const cacheKib = { read: 65_536, write: 16_384 } as const;
/** Number of log pages that start a checkpoint. Few, because all commits wait for it. */
const checkpointPages = 2_000;

/** Opens one connection. Throws if SQLite does not accept the journal mode or the sync level. */
export function openConnection({ file, use, maxPages }: ConnectionOptions): DatabaseSync {
  if (use === 'write') keepPrivate(file);
  const db = new DatabaseSync(file, { readOnly: use === 'read', timeout: busyTimeoutMs });
  try {
    if (use === 'write') {
      db.exec(`PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = ${checkpointPages};`);
      if (maxPages !== undefined) db.exec(`PRAGMA max_page_count = ${Math.trunc(maxPages)}`);
    } else {
      db.exec(`PRAGMA query_only = ON;`);
    }
    db.exec(`PRAGMA synchronous = FULL; PRAGMA cache_size = -${cacheKib[use]}; PRAGMA temp_store = MEMORY;`);
    assertPragma(db, 'journal_mode', 'wal');
    assertPragma(db, 'synchronous', 2);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** SQLite creates a file by the umask, and its log with the rights of the file. */
function keepPrivate(file: string): void {
  ensurePrivateFile(file);
  for (const suffix of ['-wal', '-shm', '-journal']) takeFromOthers(`${file}${suffix}`);
}

/**
 * Writes once and asserts the sync level again. Some builds of SQLite fall back to `synchronous = NORMAL` at the first write
 * in WAL mode, and a power loss could then undo an acknowledged commit.
 */
export function assertDurable(db: DatabaseSync): void {
  const version = Number(db.prepare('PRAGMA user_version').get()?.['user_version']);
  db.exec(`PRAGMA user_version = ${version}`);
  assertPragma(db, 'synchronous', 2);
}

function assertPragma(db: DatabaseSync, name: string, wanted: string | number): void {
  const value = db.prepare(`PRAGMA ${name}`).get()?.[name];
  if (value !== wanted) throw new Error(`SQLite reports ${name} = ${String(value)}, wanted ${wanted}`);
}
