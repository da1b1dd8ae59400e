import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

/** Written aside and made durable, readable by its owner only; gives the path. */
function writeAside(file: string, text: string): string {
  mkdirSync(dirname(file), { recursive: true });
  const aside = `${file}.${randomBytes(6).toString('hex')}`;
  const handle = openSync(aside, 'wx', 0o600);
  try {
    writeSync(handle, text);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  return aside;
}

/**
 * Makes a file that only its owner can read (mode 0600), whole or not at all, and its folder. False: the name is taken,
 * and what is there stays.
 */
export function createPrivateFile(file: string, text: string): boolean {
  const aside = writeAside(file, text);
  try {
    linkSync(aside, file);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  } finally {
    unlinkSync(aside);
  }
}

/** Puts a file that only its owner can read in the place of the one that is there, whole or not at all. */
export function replacePrivateFile(file: string, text: string): void {
  renameSync(writeAside(file, text), file);
}
