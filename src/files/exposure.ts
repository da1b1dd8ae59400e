/** Finds files and folders with secrets or personal data that other users of the machine could read. */
import { chmodSync, closeSync, openSync, type Stats, statSync } from 'node:fs';

/** A file of the operator that cannot be used. The command line prints the message and exits with 2. */
export class UnusableFileError extends Error {
  override readonly name: string = 'UnusableFileError';
}

/** A file or folder that others can read. */
class ExposedFileError extends UnusableFileError {
  override readonly name = 'ExposedFileError';
}

const othersMask = 0o077;

/** Says what is wrong if anybody but its owner may use a file or folder, and how to mend it. A missing one is none. */
export function describeExposure(path: string): string | undefined {
  const stats = statOf(path);
  if (stats === undefined || process.platform === 'win32' || (stats.mode & othersMask) === 0) return undefined;
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0');
  const wanted = stats.isDirectory() ? '700' : '600';
  return `${path} holds secrets or personal data, and others can use it (mode ${mode}). Run: chmod ${wanted} ${quote(path)}`;
}

/** Throws ExposedFileError if anybody but its owner may use a file or folder. Accepts one that does not exist. */
export function requirePrivate(path: string): void {
  const problem = describeExposure(path);
  if (problem !== undefined) throw new ExposedFileError(problem);
}

/**
 * Creates an empty file that only its owner may read, or takes the rights of others from one that is there. Never opens a
 * file that is there, because closing it would release the locks that SQLite holds on it.
 */
export function ensurePrivateFile(path: string): void {
  const stats = statOf(path);
  if (stats === undefined) closeSync(openSync(path, 'a', 0o600));
  else makePrivate(path, stats);
}

/** Takes the rights of others from a file, if it exists. */
export function takeFromOthers(path: string): void {
  const stats = statOf(path);
  if (stats !== undefined) makePrivate(path, stats);
}

function makePrivate(path: string, { mode }: Stats): void {
  if ((mode & othersMask) !== 0) chmodSync(path, 0o600);
}

function statOf(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false });
}

function quote(path: string): string {
  return /^[\w./@%+=:,-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
