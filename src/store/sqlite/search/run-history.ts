/** Runs history plans on the reading connection. */
import type { HistoryEntry, HistoryPlan, HistoryResult } from '../../history.ts';
import { numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';
import { compileHistory } from './compile-history.ts';

/** Reads page and total from one snapshot. */
export function runHistory(statements: Statements, plan: HistoryPlan): HistoryResult {
  const { page, count } = compileHistory(plan);
  statements.run('BEGIN');
  try {
    const counted = plan.total ? statements.row(count.sql, ...count.params) : undefined;
    const rows = plan.limit === 0 ? [] : statements.rows(page.sql, ...page.params);
    const more = rows.length > plan.limit;
    const kept = more ? rows.slice(0, plan.limit) : rows;
    const last = more ? kept.at(-1) : undefined;
    return {
      entries: kept.map((row) => readEntry(statements, numberAt(row, 1))),
      next: last === undefined ? undefined : position(plan, last),
      total: counted === undefined ? undefined : numberAt(counted, 0),
    };
  } finally {
    statements.run('COMMIT');
  }
}

function position(plan: HistoryPlan, row: Row): NonNullable<HistoryResult['next']> {
  return plan.id === undefined ? [numberAt(row, 0), numberAt(row, 1)] : [numberAt(row, 2)];
}

function readEntry(statements: Statements, row: number): HistoryEntry {
  const found = statements.row('SELECT type, id, version, lastUpdatedMs, method, body FROM version WHERE row = ?', row);
  if (found === undefined) throw new Error('a version has no row');
  return {
    type: textAt(found, 0),
    id: textAt(found, 1),
    version: numberAt(found, 2),
    lastUpdatedMs: numberAt(found, 3),
    method: textAt(found, 4) as HistoryEntry['method'],
    body: found[5] === null ? null : textAt(found, 5),
  };
}
