import { replacePrivateFile } from '../files/private-file.ts';
import { makeSigningJwk, readSigningJwks, renderSigningJwks, type SigningJwk } from './signing-key-file.ts';

/** A change of the keys in the file. The first key signs and seals, and all of them verify and open. */
export type KeyChange =
  /** A new key signs from the next start or SIGHUP on. */
  | { readonly kind: 'rotate' }
  /** A new key verifies and opens only, until `use` names it. For several servers. */
  | { readonly kind: 'add' }
  | { readonly kind: 'use'; readonly kid: string }
  /** Removes every key but the one that signs. */
  | { readonly kind: 'drop-old' };

/** Maximum keys in the file. */
const maxKeys = 8;

/**
 * Changes the keys in a file, atomically: a process that is killed leaves the old file or the new one. Returns the keys, or
 * what is wrong. Rejects if there is no such file, or if it holds anything else.
 */
export async function changeSigningKeys(file: string, change: KeyChange): Promise<readonly SigningJwk[] | string> {
  const keys = await readSigningJwks(file);
  if (keys === undefined) return `There is no key file ${file}. The server makes it at its first start.`;
  const next = await changed(keys, change);
  if (typeof next === 'string') return next;
  if (next.length > maxKeys) return `The file has ${keys.length} keys, which is the maximum. Drop the old ones first.`;
  replacePrivateFile(file, renderSigningJwks(next));
  return next;
}

async function changed(keys: readonly SigningJwk[], change: KeyChange): Promise<readonly SigningJwk[] | string> {
  switch (change.kind) {
    case 'rotate':
      return [await makeSigningJwk(), ...keys];
    case 'add':
      return [...keys, await makeSigningJwk()];
    case 'use': {
      const chosen = keys.filter(({ kid }) => kid === change.kid);
      if (chosen.length === 0) return 'The file has no key with this kid.';
      return [...chosen, ...keys.filter(({ kid }) => kid !== change.kid)];
    }
    case 'drop-old':
      return keys.slice(0, 1);
  }
}
