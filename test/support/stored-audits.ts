import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { labelsOf } from '../../src/store/sqlite/audit-key.ts';
import { expandText } from '../../src/store/sqlite/audit-text.ts';

/** An AuditEvent as it lies in the database file, its text whole. */
export interface StoredAudit {
  readonly seq: number;
  readonly subtype: string;
  readonly outcome: string;
  readonly labels: readonly string[];
  readonly body: string;
}

/** The AuditEvents that meet an SQL condition on `audit`, in the order in which they were written. */
export function readStoredAudits(db: DatabaseSync, condition = '1', ...params: SQLInputValue[]): StoredAudit[] {
  const texts = new Map(
    db
      .prepare('SELECT key, text FROM audit_text')
      .all()
      .map(({ key, text }) => [String(key), String(text)]),
  );
  const textOf = (key: string): string => {
    const text = texts.get(key);
    if (text === undefined) throw new Error(`there is no text ${key}`);
    return text;
  };
  return db
    .prepare(`SELECT seq, subtype, outcome, keys, body FROM audit WHERE ${condition} ORDER BY seq`)
    .all(...params)
    .map(({ seq, subtype, outcome, keys, body }) => ({
      seq: Number(seq),
      subtype: String(subtype),
      outcome: String(outcome),
      labels: labelsOf(String(keys)),
      body: expandText(String(body), textOf),
    }));
}
