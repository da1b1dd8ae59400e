/** Leases and settlements of deliveries, inside the batch's transaction. */
import type { ClaimedDelivery, Settlement } from '../store.ts';
import { type BatchState, countDelivery } from './apply-unit.ts';
import { limit as limitClause } from './compile-search.ts';
import { listAt, numberAt, type Row, type Statements, textAt } from './statements.ts';

const promote = `UPDATE delivery SET ready = 1, leaseToken = NULL
  WHERE authority = ? AND ready = 0 AND waitUntilMs <= ?`;

const oldestDue = `SELECT d.recordedMs, d.seq, a.id, a.body, d.attempts, d.acknowledgedBy
  FROM delivery d CROSS JOIN audit a ON a.seq = d.seq
  WHERE d.authority = ? AND d.ready = 1 AND d.dueMs <= ? ORDER BY d.recordedMs, d.seq ${limitClause}`;

const lease = `UPDATE delivery SET ready = 0, waitUntilMs = ?, leaseToken = ?
  WHERE authority = ? AND ready = 1 AND recordedMs = ? AND seq = ?`;

/** What waited for its time, or lost its lease, is made ready first; then the oldest that are ready are leased. */
export function applyClaim(
  statements: Statements,
  authority: string,
  limit: number,
  nowMs: number,
  leaseUntilMs: number,
  leaseToken: string,
): readonly ClaimedDelivery[] {
  statements.run(promote, authority, nowMs);
  const rows = statements.rows(oldestDue, authority, nowMs, limit);
  return rows.map((row) => {
    const recordedMs = numberAt(row, 0);
    statements.run(lease, leaseUntilMs, leaseToken, authority, recordedMs, numberAt(row, 1));
    const acknowledgedBy = listAt(row, 5);
    const auditId = textAt(row, 2);
    return {
      auditId,
      authority,
      recordedMs,
      body: textAt(row, 3),
      attempts: numberAt(row, 4),
      acknowledgedBy,
      leaseToken,
    };
  });
}

/** False: stale, nothing changed. */
export function applySettle(
  statements: Statements,
  state: BatchState,
  authority: string,
  auditId: string,
  leaseToken: string,
  settlement: Settlement,
): boolean {
  const found = findDelivery(statements, authority, auditId);
  if (found === undefined) return false;
  if (settlement.kind === 'delivered') {
    const { key, attempts } = found;
    statements.run('DELETE FROM delivery WHERE authority = ? AND ready = ? AND recordedMs = ? AND seq = ?', ...key);
    const acknowledgedBy = union(found.acknowledgedBy, settlement.acknowledgedBy);
    const sql = 'INSERT INTO delivered VALUES (?, ?, ?, ?, ?)';
    statements.run(sql, authority, key[3], settlement.atMs, attempts, acknowledgedBy);
    countDelivery(state, authority, -1, 1);
    return true;
  }
  if (found.leaseToken !== leaseToken) return false;
  if (settlement.kind === 'released') {
    statements.run(
      `UPDATE delivery SET ready = 1, leaseToken = NULL
       WHERE authority = ? AND ready = ? AND recordedMs = ? AND seq = ?`,
      ...found.key,
    );
    return true;
  }
  statements.run(
    `UPDATE delivery SET ready = 0, leaseToken = NULL, dueMs = ?1, waitUntilMs = ?1, attempts = ?2, acknowledgedBy = ?3,
       reason = ?4
     WHERE authority = ?5 AND ready = ?6 AND recordedMs = ?7 AND seq = ?8`,
    settlement.dueMs,
    found.attempts + (settlement.spendAttempt ? 1 : 0),
    union(found.acknowledgedBy, settlement.acknowledgedBy),
    settlement.reason,
    ...found.key,
  );
  return true;
}

/** False: the lease is not held any more. */
export function applyExtend(
  statements: Statements,
  authority: string,
  auditId: string,
  leaseToken: string,
  leaseUntilMs: number,
): boolean {
  const found = findDelivery(statements, authority, auditId);
  if (found === undefined || found.leaseToken !== leaseToken) return false;
  statements.run(
    'UPDATE delivery SET waitUntilMs = ? WHERE authority = ? AND ready = ? AND recordedMs = ? AND seq = ?',
    leaseUntilMs,
    ...found.key,
  );
  return true;
}

/** Leased ones are left to their holder. */
export function applyMakeDue(statements: Statements, authority: string, nowMs: number): void {
  statements.run(
    `UPDATE delivery SET dueMs = ?1, waitUntilMs = ?1
     WHERE authority = ?2 AND ready = 0 AND waitUntilMs > ?1 AND leaseToken IS NULL`,
    nowMs,
    authority,
  );
  // Recorded by a clock that has been set back since.
  statements.run(
    'UPDATE delivery SET dueMs = ?1 WHERE authority = ?2 AND ready = 1 AND dueMs > ?1 AND recordedMs > ?1',
    nowMs,
    authority,
  );
}

interface FoundDelivery {
  readonly key: readonly [authority: string, ready: number, recordedMs: number, seq: number];
  readonly leaseToken: string | undefined;
  readonly attempts: number;
  readonly acknowledgedBy: readonly string[];
}

function findDelivery(statements: Statements, authority: string, auditId: string): FoundDelivery | undefined {
  const row: Row | undefined = statements.row(
    `SELECT d.ready, d.recordedMs, d.seq, d.leaseToken, d.attempts, d.acknowledgedBy
     FROM audit a CROSS JOIN delivery d
     WHERE a.id = ? AND d.authority = ? AND d.ready IN (0, 1) AND d.recordedMs = a.recordedMs AND d.seq = a.seq`,
    auditId,
    authority,
  );
  if (row === undefined) return undefined;
  return {
    key: [authority, numberAt(row, 0), numberAt(row, 1), numberAt(row, 2)],
    leaseToken: row[3] === null ? undefined : textAt(row, 3),
    attempts: numberAt(row, 4),
    acknowledgedBy: listAt(row, 5),
  };
}

function union(before: readonly string[], added: readonly string[]): string {
  return JSON.stringify([...new Set([...before, ...added])]);
}
