import type { DatabaseSync, SQLInputValue } from 'node:sqlite';
import { labelsOf } from '../../src/store/sqlite/encoding/audit-key.ts';
import { expandText } from '../../src/store/sqlite/encoding/audit-text.ts';

/** An AuditEvent as it lies in the database file, its text whole. */
export interface StoredAudit {
  readonly seq: number;
  readonly subtype: string;
  readonly outcome: string;
  readonly labels: readonly string[];
  readonly body: string;
}

/** Gives the authorities that an AuditEvent was or is to be delivered to, by its sequence number, in order. */
export function openOwed(db: DatabaseSync): (seq: number) => string[] {
  const owed = db.prepare(
    `SELECT authority FROM delivery WHERE seq = ?1 UNION SELECT authority FROM delivered WHERE seq = ?1
     UNION SELECT o.value FROM audit a, json_each(a.deliverTo) o
       WHERE a.seq = ?1 AND a.seq > (SELECT queued FROM audit_progress) ORDER BY 1`,
  );
  return (seq) => owed.all(seq).map((row) => String(row['authority']));
}

/** How many deliveries an authority is owed, those included that are not queued yet. */
export function countOwed(db: DatabaseSync, authority: string): number {
  const row = db
    .prepare(
      `SELECT (SELECT count(*) FROM delivery WHERE authority = ?1) + (SELECT count(*)
         FROM audit a, json_each(a.deliverTo) o
         WHERE a.seq > (SELECT queued FROM audit_progress) AND o.value = ?1) AS n`,
    )
    .get(authority);
  return Number(row?.['n']);
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
