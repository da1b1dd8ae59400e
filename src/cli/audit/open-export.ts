import { createHash } from 'node:crypto';
import type { EventEmitter } from 'node:events';
import { once } from 'node:events';
import { closeSync, existsSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { CommandError, type CommandIo } from '../terminal/command-line.ts';

/** Where an export goes. */
export interface Export {
  /** Resolves when more can be taken. */
  write(text: string): Promise<void>;
  /** Completes the file. Returns the SHA-256 of all that was written, base64url. */
  finish(): string;
  /** Removes what is not complete. */
  discard(): void;
}

/**
 * Opens a new file that only its owner can read, or standard output if `file` is undefined. The file has its name only once
 * it is complete. Throws CommandError if it exists.
 */
export function openExport(file: string | undefined, stdout: CommandIo['stdout']): Export {
  const hash = createHash('sha256');
  if (file === undefined) {
    return {
      async write(text) {
        hash.update(text);
        if (stdout.write(text) === false) await once(stdout as unknown as EventEmitter, 'drain');
      },
      finish: () => hash.digest('base64url'),
      discard: () => undefined,
    };
  }
  if (existsSync(file)) throw new CommandError(`${file} already exists and was not changed. Choose another file name.`);
  const partial = `${file}.partial`;
  // What an export that was killed left, or another user put there, is never written into.
  rmSync(partial, { force: true });
  const handle = openSync(partial, 'wx', 0o600);
  let isOpen = true;
  const close = (): void => {
    if (isOpen) closeSync(handle);
    isOpen = false;
  };
  return {
    async write(text) {
      hash.update(text);
      writeFileSync(handle, text);
    },
    finish() {
      fsyncSync(handle);
      close();
      renameSync(partial, file);
      return hash.digest('base64url');
    },
    discard() {
      close();
      rmSync(partial, { force: true });
    },
  };
}
