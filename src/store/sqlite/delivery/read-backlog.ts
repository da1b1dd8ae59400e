/** Reads the backlog of each authority from counters and the ends of indexes, without scanning deliveries. */
import type { DeliveryBacklog, OwedDelivery } from '../../delivery-queue.ts';
import { numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';

const sql = `SELECT c.authority, c.undelivered, c.delivered,
  (SELECT count(*) FROM delivery d WHERE d.authority = c.authority AND d.leaseToken IS NOT NULL),
  (SELECT d.recordedMs FROM delivery d WHERE d.authority = c.authority AND d.ready = 1 AND d.parked = 0
    ORDER BY d.recordedMs, d.seq LIMIT 1),
  (SELECT d.recordedMs FROM delivery d WHERE d.authority = c.authority AND d.ready = 0 AND d.parked = 0
    ORDER BY d.recordedMs, d.seq LIMIT 1),
  (SELECT d.dueMs FROM delivery d WHERE d.authority = c.authority AND d.ready = 1 ORDER BY d.recordedMs, d.seq LIMIT 1),
  (SELECT min(d.waitUntilMs) FROM delivery d WHERE d.authority = c.authority AND d.ready = 0),
  (SELECT count(*) FROM delivery d WHERE d.authority = c.authority AND d.parked = 1),
  (SELECT min(d.recordedMs) FROM delivery d WHERE d.authority = c.authority AND d.parked = 1),
  (SELECT u.count FROM delivery_unwanted u WHERE u.authority = c.authority),
  (SELECT d.recordedMs FROM delivery d WHERE d.authority = c.authority AND d.ready = 2
    ORDER BY d.recordedMs, d.seq LIMIT 1)
  FROM delivery_count c WHERE c.authority >= '' ORDER BY c.authority`;

/** Returns one row for each authority that has ever had a delivery. */
export function readBacklog(statements: Statements): readonly DeliveryBacklog[] {
  return statements.rows(sql).map((row) => ({
    authority: textAt(row, 0),
    undelivered: numberAt(row, 1),
    delivered: numberAt(row, 2),
    leased: numberAt(row, 3),
    oldestRecordedMs: earliest(row, 4, 5),
    nextDueMs: earliest(row, 6, 7),
    parked: numberAt(row, 8),
    oldestParkedMs: earliest(row, 9, 9),
    unmatched: row[10] === null ? 0 : numberAt(row, 10),
    oldestUnmatchedMs: earliest(row, 11, 11),
  }));
}

function earliest(row: Row, one: number, other: number): number | undefined {
  const values = [row[one], row[other]].filter((value) => typeof value === 'number');
  return values.length === 0 ? undefined : Math.min(...values);
}

/** Ready and waiting rows are two ranges of the primary key. The first rows of each are merged. */
const owedOfKind = (ready: 0 | 1): string => `SELECT * FROM (
  SELECT recordedMs, seq FROM delivery
  WHERE authority = ?1 AND ready = ${ready} AND (recordedMs, seq) > (?2, ?3) ORDER BY recordedMs, seq LIMIT ?4)`;
const owedSql = `SELECT o.recordedMs, a.id FROM (${owedOfKind(0)} UNION ALL ${owedOfKind(1)}) o
  JOIN audit a ON a.seq = o.seq ORDER BY o.recordedMs, o.seq LIMIT ?4`;

/** Returns the undelivered events of an authority after `after`, oldest first. */
export function readOwed(
  statements: Statements,
  authority: string,
  limit: number,
  after: OwedDelivery | undefined,
): readonly OwedDelivery[] {
  const seq = after === undefined ? undefined : statements.row('SELECT seq FROM audit WHERE id = ?', after.auditId);
  const rows = statements.rows(
    owedSql,
    authority,
    after?.recordedMs ?? Number.MIN_SAFE_INTEGER,
    seq === undefined ? 0 : numberAt(seq, 0),
    limit,
  );
  return rows.map((row) => ({ recordedMs: numberAt(row, 0), auditId: textAt(row, 1) }));
}
