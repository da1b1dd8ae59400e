/** The numbered events of Subscriptions. Numbers are assigned inside the transaction of the batch. */
import type { SubscriptionEvent } from '../../subscription-events.ts';
import { limitClause } from '../connection/compiled-sql.ts';
import { numberAt, type Statements, textAt } from '../connection/statements.ts';

/** Returns the number of each AuditEvent. Those without one get the next numbers. */
export function appendEvents(
  statements: Statements,
  subscriptionId: string,
  auditIds: readonly string[],
): readonly number[] {
  let last = readLastNumber(statements, subscriptionId);
  return auditIds.map((auditId) => {
    const known = statements.row(
      'SELECT number FROM subscription_event WHERE subscription = ? AND auditId = ?',
      subscriptionId,
      auditId,
    );
    if (known !== undefined) return numberAt(known, 0);
    last += 1;
    statements.run('INSERT INTO subscription_event VALUES (?, ?, ?)', subscriptionId, last, auditId);
    return last;
  });
}

/** Records an acknowledgement. A lower number than the recorded one changes nothing. */
export function acknowledgeEvents(statements: Statements, subscriptionId: string, through: number): void {
  statements.run(
    `INSERT INTO subscription_acknowledged VALUES (?, ?)
     ON CONFLICT (subscription) DO UPDATE SET number = max(number, excluded.number)`,
    subscriptionId,
    through,
  );
}

export function readLastNumber(statements: Statements, subscriptionId: string): number {
  const row = statements.row(
    'SELECT coalesce(max(number), 0) FROM subscription_event WHERE subscription = ?',
    subscriptionId,
  );
  return row === undefined ? 0 : numberAt(row, 0);
}

export function readEvents(
  statements: Statements,
  subscriptionId: string,
  since: number,
  until: number,
  limit: number,
): readonly SubscriptionEvent[] {
  const sql = `SELECT number, auditId FROM subscription_event
    WHERE subscription = ? AND number BETWEEN ? AND ? ORDER BY number ${limitClause}`;
  const rows = statements.rows(sql, subscriptionId, since, until, limit);
  return rows.map((row) => ({ number: numberAt(row, 0), auditId: textAt(row, 1) }));
}

export function readAcknowledged(statements: Statements, subscriptionId: string): number {
  const row = statements.row('SELECT number FROM subscription_acknowledged WHERE subscription = ?', subscriptionId);
  return row === undefined ? 0 : numberAt(row, 0);
}
