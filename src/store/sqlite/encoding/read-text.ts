import { type Statements, textAt } from '../connection/statements.ts';
import { expandText } from './audit-text.ts';

const maxKept = 2_000;

/** Gives the whole text of a stored body, on one connection. Shared texts that were used lately are kept in memory. */
export function openTexts(statements: Statements): (body: string) => string {
  const kept = new Map<string, string>();
  const textOf = (key: string): string => {
    const known = kept.get(key);
    if (known !== undefined) return known;
    const row = statements.row('SELECT text FROM audit_text WHERE key = ?', key);
    if (row === undefined) throw new Error('a shared text of an AuditEvent is not there');
    if (kept.size === maxKept) kept.clear();
    const text = textAt(row, 0);
    kept.set(key, text);
    return text;
  };
  return (body) => expandText(body, textOf);
}
