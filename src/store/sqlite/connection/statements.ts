/** Prepared statements of one connection, cached by their text. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

export type Row = readonly SQLOutputValue[];

export interface Statements {
  readonly db: DatabaseSync;
  run(sql: string, ...params: SQLInputValue[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  /** Returns the first row as an array of its columns. */
  row(sql: string, ...params: SQLInputValue[]): Row | undefined;
  rows(sql: string, ...params: SQLInputValue[]): readonly Row[];
}

/** Maximum number of cached statements. */
const maxKept = 500;

/** Prepares statements at first use. Drops the oldest one if there are too many. */
export function openStatements(db: DatabaseSync): Statements {
  const kept = new Map<string, StatementSync>();
  const prepare = (sql: string): StatementSync => {
    const known = kept.get(sql);
    if (known !== undefined) return known;
    const statement = db.prepare(sql);
    statement.setReturnArrays(true);
    const oldest = kept.size < maxKept ? undefined : kept.keys().next().value;
    if (oldest !== undefined) kept.delete(oldest);
    kept.set(sql, statement);
    return statement;
  };
  return {
    db,
    run: (sql, ...params) => prepare(sql).run(...params),
    row: (sql, ...params) => prepare(sql).get(...params) as unknown as Row | undefined,
    rows: (sql, ...params) => prepare(sql).all(...params) as unknown as readonly Row[],
  };
}

/** Returns the column as a string. Throws if it is not text. */
export function textAt(row: Row, column: number): string {
  const value = row[column];
  if (typeof value !== 'string') throw new TypeError(`column ${column} is not text`);
  return value;
}

/** Returns the column as a number. Throws if it is not one. */
export function numberAt(row: Row, column: number): number {
  const value = row[column];
  if (typeof value !== 'number') throw new TypeError(`column ${column} is not a number`);
  return value;
}

/** Returns the list of strings that the column holds as JSON. */
export function listAt(row: Row, column: number): readonly string[] {
  const text = textAt(row, column);
  return text === '[]' ? [] : (JSON.parse(text) as readonly string[]);
}
