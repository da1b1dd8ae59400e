/**
 * Queues the deliveries of recent AuditEvents. The row of an event, which is durable before the response to the access, names
 * the authorities to notify. The rows of `delivery` are written later, many at once, before any of them is read.
 * https://www.sqlite.org/json1.html#jeach
 */
import { readProgress } from '../audit-index/read-progress.ts';
import type { Statements } from '../connection/statements.ts';

const owed = `audit a CROSS JOIN json_each(a.deliverTo) o WHERE a.seq > ?1 AND a.seq <= ?2 AND a.deliverTo <> '[]'`;

const insertDeliveries = `INSERT INTO delivery
  SELECT o.value, 1, a.recordedMs, a.seq, a.recordedMs, 0, NULL, 0, '[]', NULL, 0 FROM ${owed} ORDER BY 1, 3, 4`;

const countDeliveries = `INSERT INTO delivery_count SELECT o.value, count(*), 0 FROM ${owed} GROUP BY 1
  ON CONFLICT (authority) DO UPDATE SET undelivered = undelivered + excluded.undelivered`;

/** Queues the deliveries of all events up to `to`, inside a transaction, if at least `enough` events are not queued yet. */
export function queueDeliveries(statements: Statements, to: number, enough = 1): void {
  const from = readProgress(statements, 'queued');
  if (to - from < enough) return;
  statements.run(insertDeliveries, from, to);
  statements.run(countDeliveries, from, to);
  statements.run('UPDATE audit_progress SET queued = ?', to);
}
