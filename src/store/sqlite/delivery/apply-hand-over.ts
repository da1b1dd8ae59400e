/** Hands undelivered deliveries over to another authority, inside the transaction of the batch. */
import { numberAt, type Statements } from '../connection/statements.ts';
import { countUnmatched } from './apply-requeue.ts';
import type { DeliveryCounts } from './delivery-counts.ts';

const undelivered = `SELECT d.ready, d.recordedMs, d.seq FROM audit a CROSS JOIN delivery d
  WHERE a.id = ? AND d.authority = ? AND d.ready IN (0, 1, 2) AND d.recordedMs = a.recordedMs AND d.seq = a.seq`;
const hasOwn = `SELECT 1 FROM delivery WHERE authority = ?1 AND ready IN (0, 1, 2) AND recordedMs = ?2 AND seq = ?3
  UNION ALL SELECT 1 FROM delivered WHERE authority = ?1 AND seq = ?3`;
const insert = "INSERT INTO delivery VALUES (?, 1, ?, ?, ?, 0, NULL, 0, '[]', NULL, 0)";

/** See `DeliveryQueue.handOver`. Returns the positions in `auditIds` of those that `to` owes now. */
export function applyHandOver(
  statements: Statements,
  counts: DeliveryCounts,
  from: string,
  to: string | undefined,
  auditIds: readonly string[],
  nowMs: number,
): readonly number[] {
  const handed: number[] = [];
  for (const [position, auditId] of auditIds.entries()) {
    const row = statements.row(undelivered, auditId, from);
    if (row === undefined) continue;
    const [ready, recordedMs, seq] = [numberAt(row, 0), numberAt(row, 1), numberAt(row, 2)];
    statements.run(
      'DELETE FROM delivery WHERE authority = ? AND ready = ? AND recordedMs = ? AND seq = ?',
      from,
      ready,
      recordedMs,
      seq,
    );
    if (ready === 2) countUnmatched(statements, from, -1);
    else counts.add(from, -1, 0);
    if (to === undefined || statements.row(hasOwn, to, recordedMs, seq) !== undefined) continue;
    statements.run(insert, to, recordedMs, seq, nowMs);
    counts.add(to, 1, 0);
    handed.push(position);
  }
  return handed;
}
