/** Returns waiting deliveries to the queue, a bounded number at a time, inside the transaction of the batch. */
import type { RequeueOf } from '../../delivery-queue.ts';
import { limitClause } from '../connection/compiled-sql.ts';
import { numberAt, type Row, type Statements } from '../connection/statements.ts';
import type { DeliveryCounts } from './delivery-counts.ts';

type Key = readonly [authority: string, ready: number, recordedMs: number, seq: number];

/** Each statement takes the authority, a time and a limit, and returns `ready`, `recordedMs` and `seq`, oldest first. */
const backingOff = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND ready = 0 AND leaseToken IS NULL AND ?2 IS NOT NULL ORDER BY recordedMs, seq ${limitClause}`;
const ahead = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND ready = 1 AND recordedMs > ?2 AND dueMs > ?2 ORDER BY recordedMs, seq ${limitClause}`;
const parked = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND parked = 1 AND leaseToken IS NULL AND ?2 IS NOT NULL ORDER BY recordedMs, seq ${limitClause}`;
const unmatched = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND ready = 2 AND waitUntilMs < ?2 ORDER BY waitUntilMs, recordedMs, seq ${limitClause}`;
const unmatchedAhead = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND ready = 2 AND waitUntilMs > ?2 ORDER BY waitUntilMs, recordedMs, seq ${limitClause}`;
const expired = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND ready = 0 AND waitUntilMs <= ?2 ORDER BY waitUntilMs, recordedMs, seq ${limitClause}`;
const requeueable = { parked, unmatched, 'unmatched-ahead': unmatchedAhead } as const;
const leasedAhead = `SELECT ready, recordedMs, seq FROM delivery
  WHERE authority = ?1 AND leaseToken IS NOT NULL AND ready = 0 AND waitUntilMs > ?2 ORDER BY recordedMs, seq ${limitClause}`;

const at = 'WHERE authority = ? AND ready = ? AND recordedMs = ? AND seq = ?';

function find(statements: Statements, sql: string, authority: string, nowMs: number, limit: number): readonly Key[] {
  const keyOf = (row: Row): Key => [authority, numberAt(row, 0), numberAt(row, 1), numberAt(row, 2)];
  return statements.rows(sql, authority, nowMs, limit).map(keyOf);
}

/** See `DeliveryQueue.requeue`. */
export function applyRequeue(
  statements: Statements,
  counts: DeliveryCounts,
  authority: string,
  nowMs: number,
  of: RequeueOf,
  limit: number,
): number {
  if (of === 'waiting') {
    const keys = find(statements, backingOff, authority, nowMs, limit);
    for (const key of keys) statements.run(`UPDATE delivery SET ready = 1, dueMs = ? ${at}`, nowMs, ...key);
    const keysAhead = find(statements, ahead, authority, nowMs, limit - keys.length);
    for (const key of keysAhead) statements.run(`UPDATE delivery SET dueMs = ? ${at}`, nowMs, ...key);
    return keys.length + keysAhead.length;
  }
  const keys = find(statements, requeueable[of], authority, nowMs, limit);
  if (of === 'parked') {
    const change = 'ready = 1, dueMs = ?, parked = 0, attempts = 0';
    for (const key of keys) statements.run(`UPDATE delivery SET ${change} ${at}`, nowMs, ...key);
  } else if (keys.length > 0) {
    for (const key of keys) statements.run(`UPDATE delivery SET ready = 1, dueMs = recordedMs ${at}`, ...key);
    counts.add(authority, keys.length, 0);
    countUnmatched(statements, authority, -keys.length);
  }
  return keys.length;
}

/** Makes up to `limit` deliveries whose wait or lease has expired ready, and up to `limit` leased by a clock ahead. */
export function promoteExpired(
  statements: Statements,
  authority: string,
  nowMs: number,
  leaseUntilMs: number,
  limit: number,
): void {
  const aheadMs = leaseUntilMs + (leaseUntilMs - nowMs);
  const keys = [
    ...find(statements, expired, authority, nowMs, limit),
    ...find(statements, leasedAhead, authority, aheadMs, limit),
  ];
  for (const key of keys) statements.run(`UPDATE delivery SET ready = 1, leaseToken = NULL ${at}`, ...key);
}

/** Changes the number of unmatched deliveries of an authority. */
export function countUnmatched(statements: Statements, authority: string, by: number): void {
  statements.run(
    'INSERT INTO delivery_unwanted VALUES (?, ?) ON CONFLICT (authority) DO UPDATE SET count = count + excluded.count',
    authority,
    by,
  );
}
