/** Connections to the database file: durable by setting and by assertion. https://www.sqlite.org/pragma.html */
import { DatabaseSync } from 'node:sqlite';

export interface ConnectionOptions {
  readonly file: string;
  readonly use: 'read' | 'write';
  /** Upper bound of the file in pages of 4 KiB; commits beyond it are refused as if the disk were full. */
  readonly maxPages?: number;
}

const busyTimeoutMs = 5_000;
/** Small where it writes: SQLite walks the whole table of its cache at almost every commit. */
const cacheKib = { read: 65_536, write: 16_384 } as const;
/** Few: all commits wait for a checkpoint. */
const checkpointPages = 2_000;

/** Opens one connection. Throws when SQLite would not keep the journal mode or the sync level. */
export function openConnection({ file, use, maxPages }: ConnectionOptions): DatabaseSync {
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

/**
 * Writes once and asserts again: some builds of SQLite fall back to `synchronous = NORMAL` at the first write in WAL
 * mode, and an acknowledged commit would then not survive a power loss.
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
