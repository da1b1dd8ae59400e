/** What an error of node:sqlite means for the store. https://www.sqlite.org/rescode.html */

/**
 * `full` and `busy` pass; after `lost` (an I/O error, a damaged file) what SQLite says cannot be trusted any more: a
 * failed fsync may succeed when repeated though the data is gone. `rejected`: this statement alone is wrong.
 */
export type SqliteFailure = 'full' | 'busy' | 'lost' | 'rejected';

const failureOf: Readonly<Record<number, SqliteFailure>> = {
  5: 'busy',
  6: 'busy',
  7: 'busy',
  8: 'lost',
  10: 'lost',
  11: 'lost',
  13: 'full',
  14: 'lost',
  26: 'lost',
};

/** Classifies by the primary result code; what is not an error of SQLite is `rejected`. */
export function sqliteFailure(error: unknown): SqliteFailure {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return 'rejected';
  return failureOf[error.errcode & 0xff] ?? 'rejected';
}
