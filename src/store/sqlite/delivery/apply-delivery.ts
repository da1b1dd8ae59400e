/** Leases and settles deliveries, inside the transaction of the batch. */
import type { ClaimedDelivery, Settlement } from '../../delivery-queue.ts';
import { limitClause } from '../connection/compiled-sql.ts';
import { listAt, numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';
import { countUnmatched, promoteExpired } from './apply-requeue.ts';
import type { DeliveryCounts } from './delivery-counts.ts';

/** Maximum number of expired waits and leases that one claim makes ready, unless it may lease more. */
const maxPromoted = 512;

const oldestDue = `SELECT d.recordedMs, d.seq, a.id, a.body, d.attempts, d.acknowledgedBy, d.parked
  FROM delivery d CROSS JOIN audit a ON a.seq = d.seq
  WHERE d.authority = ? AND d.ready = 1 AND d.dueMs <= ? ORDER BY d.recordedMs, d.seq ${limitClause}`;

const lease = `UPDATE delivery SET ready = 0, waitUntilMs = ?, leaseToken = ?
  WHERE authority = ? AND ready = 1 AND recordedMs = ? AND seq = ?`;

/** Makes deliveries ready whose wait or lease has expired, then leases the oldest that are due. */
export function applyClaim(
  statements: Statements,
  textOf: (body: string) => string,
  authority: string,
  limit: number,
  nowMs: number,
  leaseUntilMs: number,
  leaseToken: string,
): readonly ClaimedDelivery[] {
  promoteExpired(statements, authority, nowMs, leaseUntilMs, Math.max(limit, maxPromoted));
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
      body: textOf(textAt(row, 3)),
      attempts: numberAt(row, 4),
      acknowledgedBy,
      parked: numberAt(row, 6) === 1,
      leaseToken,
    };
  });
}

/** Returns false if the settlement was stale and changed nothing. */
export function applySettle(
  statements: Statements,
  counts: DeliveryCounts,
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
    counts.add(authority, key[1] === unmatchedState ? 0 : -1, 1);
    if (key[1] === unmatchedState) countUnmatched(statements, authority, -1);
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
  if (settlement.kind === 'unmatched') {
    statements.run(
      `UPDATE delivery SET ready = ${unmatchedState}, leaseToken = NULL, parked = 0, waitUntilMs = ?
       WHERE authority = ? AND ready = ? AND recordedMs = ? AND seq = ?`,
      settlement.atMs,
      ...found.key,
    );
    counts.add(authority, -1, 0);
    countUnmatched(statements, authority, 1);
    return true;
  }
  statements.run(
    `UPDATE delivery SET ready = 0, leaseToken = NULL, dueMs = ?1, waitUntilMs = ?1, attempts = ?2, acknowledgedBy = ?3,
       reason = ?4, parked = max(parked, ?5)
     WHERE authority = ?6 AND ready = ?7 AND recordedMs = ?8 AND seq = ?9`,
    settlement.dueMs,
    found.attempts + (settlement.spendAttempt ? 1 : 0),
    union(found.acknowledgedBy, settlement.acknowledgedBy),
    settlement.reason,
    settlement.park === true ? 1 : 0,
    ...found.key,
  );
  return true;
}

/** Returns false if the lease is no longer held. */
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

/** Value of `ready` for unmatched deliveries. */
const unmatchedState = 2;

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
     WHERE a.id = ? AND d.authority = ? AND d.ready IN (0, 1, 2) AND d.recordedMs = a.recordedMs AND d.seq = a.seq`,
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
