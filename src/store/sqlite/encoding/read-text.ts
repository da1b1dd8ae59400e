import { type Statements, textAt } from '../connection/statements.ts';
import { expandText } from './audit-text.ts';

/** Maximum number of cached texts. */
const maxKept = 2_000;

/** Returns a function that restores the whole text of a stored body. It caches shared texts. */
export function openTexts(statements: Statements): (body: string) => string {
  const kept = new Map<string, string>();
  const textOf = (key: string): string => {
    const known = kept.get(key);
    if (known !== undefined) return known;
    const row = statements.row('SELECT text FROM audit_text WHERE key = ?', key);
    if (row === undefined) throw new Error('A shared text of an AuditEvent is missing.');
    if (kept.size === maxKept) kept.clear();
    const text = textAt(row, 0);
    kept.set(key, text);
    return text;
  };
  return (body) => expandText(body, textOf);
}
