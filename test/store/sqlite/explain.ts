import { DatabaseSync } from 'node:sqlite';
import { openSchema } from '../../../src/store/sqlite/connection/schema.ts';

export interface Explainer {
  /** Returns the steps of a statement's query plan. */
  explain(sql: string): readonly string[];
  /** Returns the steps that read a whole table or index, apart from the rows that a subquery found and json_each. */
  scans(sql: string): readonly string[];
  /** Returns the steps that sort rows. */
  sorts(sql: string): readonly string[];
  has(sql: string): boolean;
}

/**
 * Explains statements on an empty database, each once. The database has no statistics, so SQLite chooses a plan by the text
 * alone: neither the parameters nor the rows matter. https://www.sqlite.org/eqp.html
 */
export function openExplainer(t: { teardown(close: () => unknown): unknown }): Explainer {
  const db = new DatabaseSync(':memory:');
  t.teardown(() => db.close());
  openSchema(db);
  const explained = new Map<string, readonly string[]>();
  const explain = (sql: string): readonly string[] => {
    const known = explained.get(sql);
    if (known !== undefined) return known;
    const rows = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all();
    const steps = rows.map((row) => String(row['detail']));
    explained.set(sql, steps);
    return steps;
  };
  return {
    explain,
    scans: (sql) => explain(sql).filter((step) => /^SCAN (?!\(subquery|CONSTANT ROW|json_each)/.test(step)),
    sorts: (sql) => explain(sql).filter((step) => step.includes('TEMP B-TREE')),
    has: (sql) => explained.has(sql),
  };
}
