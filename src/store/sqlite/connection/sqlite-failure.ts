/** Classifies the errors of node:sqlite. https://www.sqlite.org/rescode.html */

/**
 * - `full` and `busy`: a later try may succeed.
 * - `lost`: an I/O error or a damaged file. Later results cannot be trusted, because a repeated fsync may succeed although the
 *   data is gone.
 * - `rejected`: only this statement is wrong.
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

/** Classifies by the primary result code. Any other error is `rejected`. */
export function sqliteFailure(error: unknown): SqliteFailure {
  if (!(error instanceof Error) || !('errcode' in error) || typeof error.errcode !== 'number') return 'rejected';
  return failureOf[error.errcode & 0xff] ?? 'rejected';
}
