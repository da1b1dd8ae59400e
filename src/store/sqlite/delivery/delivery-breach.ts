/** Breaches of the delivery limit. */
import type { DeliveryBreach } from '../../delivery-queue.ts';
import { limitClause } from '../connection/compiled-sql.ts';
import { numberAt, type Statements, textAt } from '../connection/statements.ts';

/** Returns false if the breach is already recorded. */
export function applyBreach(statements: Statements, breach: DeliveryBreach): boolean {
  const { authority, kind, oldestRecordedMs, atMs, undelivered } = breach;
  const sql = 'INSERT OR IGNORE INTO delivery_breach VALUES (?, ?, ?, ?, ?)';
  return statements.run(sql, authority, kind, oldestRecordedMs, atMs, undelivered).changes === 1;
}

/** Returns the latest breaches, newest first. */
export function readBreaches(
  statements: Statements,
  limit: number,
  authority: string | undefined,
): readonly DeliveryBreach[] {
  const columns = 'authority, kind, oldestRecordedMs, atMs, undelivered';
  const order = `ORDER BY atMs DESC, authority, kind, oldestRecordedMs ${limitClause}`;
  const rows =
    authority === undefined
      ? statements.rows(`SELECT ${columns} FROM delivery_breach ${order}`, limit)
      : statements.rows(`SELECT ${columns} FROM delivery_breach WHERE authority = ? ${order}`, authority, limit);
  return rows.map((row) => ({
    authority: textAt(row, 0),
    kind: textAt(row, 1) === 'parked' ? 'parked' : 'overdue',
    oldestRecordedMs: numberAt(row, 2),
    atMs: numberAt(row, 3),
    undelivered: numberAt(row, 4),
  }));
}
