import { createHash } from 'node:crypto';
import type { WriteUnit } from '../../store.ts';

/** One key for each If-None-Exist condition of a unit: units with the same condition write the same document. */
export function conditionKeys({ writes }: WriteUnit): readonly string[] {
  const keys = writes.flatMap(({ ifNoneExist }) => {
    if (ifNoneExist === undefined) return [];
    const clauses = ifNoneExist.clauses.map((clause) => JSON.stringify(clause)).sort();
    return createHash('sha256')
      .update(JSON.stringify([ifNoneExist.type, clauses]))
      .digest('base64url');
  });
  // In one order, so that two units never wait for each other.
  return [...new Set(keys)].sort();
}
