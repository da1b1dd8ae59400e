import { describeFileFailure } from '../../../files/file-failure.ts';
import { StoreStartError } from '../../store-start-error.ts';

/** What to do about an error of SQLite, by its primary result code. https://www.sqlite.org/rescode.html */
const causes: Readonly<Record<number, string>> = {
  8: 'the store in it can only be read. Give its files to the user that the server runs as, and mount its disk for writing',
  10: 'its disk is full or reports an I/O error. Check the disk',
  11: 'the store in it is damaged. Restore it from a backup',
  13: 'its disk is full. Make room on it',
  14: 'the store in it cannot be opened. Check that its files belong to the user that the server runs as',
  26: 'its store.sqlite is no SQLite database, or is damaged. Restore it from a backup',
};

/** Returns the StoreStartError for a data folder that cannot be used; any other error as it is. */
export function startFailure(error: unknown, folder: string): unknown {
  if (!(error instanceof Error)) return error;
  // An error of the writer thread has lost its class.
  if (error.name === 'StoreStartError') return new StoreStartError(error.message, { cause: error });
  const sqlite = 'errcode' in error && typeof error.errcode === 'number' ? causes[error.errcode & 0xff] : undefined;
  const cause = sqlite ?? describeFileFailure(error);
  if (cause === undefined) return error;
  return new StoreStartError(`The data folder ${folder} cannot be used: ${cause}, then start again.`, { cause: error });
}
