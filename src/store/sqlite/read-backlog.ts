/** What is owed to each authority, from counters and the ends of indexes: never a scan of deliveries. */
import type { DeliveryBacklog } from '../store.ts';
import { numberAt, type Row, type Statements, textAt } from './statements.ts';

const sql = `SELECT c.authority, c.undelivered, c.delivered,
  (SELECT count(*) FROM delivery d WHERE d.authority = c.authority AND d.leaseToken IS NOT NULL),
  (SELECT min(d.recordedMs) FROM delivery d WHERE d.authority = c.authority AND d.ready = 1),
  (SELECT min(d.recordedMs) FROM delivery d WHERE d.authority = c.authority AND d.ready = 0),
  (SELECT d.dueMs FROM delivery d WHERE d.authority = c.authority AND d.ready = 1 ORDER BY d.recordedMs, d.seq LIMIT 1),
  (SELECT min(d.waitUntilMs) FROM delivery d WHERE d.authority = c.authority AND d.ready = 0)
  FROM delivery_count c WHERE c.authority >= '' ORDER BY c.authority`;

/** One row for each authority that was ever owed a delivery. */
export function readBacklog(statements: Statements): readonly DeliveryBacklog[] {
  return statements.rows(sql).map((row) => ({
    authority: textAt(row, 0),
    undelivered: numberAt(row, 1),
    delivered: numberAt(row, 2),
    leased: numberAt(row, 3),
    oldestRecordedMs: earliest(row, 4, 5),
    nextDueMs: earliest(row, 6, 7),
  }));
}

function earliest(row: Row, one: number, other: number): number | undefined {
  const values = [row[one], row[other]].filter((value) => typeof value === 'number');
  return values.length === 0 ? undefined : Math.min(...values);
}
