import { createHash } from 'node:crypto';
import type { WriteUnit } from '../../store.ts';

/**
 * Returns a key for each If-None-Exist condition of a unit. Units with the same condition write the document of this key, so
 * that they conflict: snapshot isolation alone would commit both.
 */
export function conditionKeys({ writes }: WriteUnit): readonly string[] {
  const keys = writes.flatMap(({ ifNoneExist }) => {
    if (ifNoneExist === undefined) return [];
    const clauses = ifNoneExist.clauses.map((clause) => JSON.stringify(clause)).sort();
    return createHash('sha256')
      .update(JSON.stringify([ifNoneExist.type, clauses]))
      .digest('base64url');
  });
  // Sorted, so that two units never wait for each other.
  return [...new Set(keys)].sort();
}
