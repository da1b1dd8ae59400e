/** Prepared statements of one connection, kept by their text. */
import type { DatabaseSync, SQLInputValue, SQLOutputValue, StatementSync } from 'node:sqlite';

export type Row = readonly SQLOutputValue[];

export interface Statements {
  readonly db: DatabaseSync;
  run(sql: string, ...params: SQLInputValue[]): { changes: number | bigint; lastInsertRowid: number | bigint };
  /** The first row as an array of its columns. */
  row(sql: string, ...params: SQLInputValue[]): Row | undefined;
  rows(sql: string, ...params: SQLInputValue[]): readonly Row[];
}

const maxKept = 500;

/** Statements are prepared at first use; the oldest goes when there are too many. */
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

/** The column as a string. */
export function textAt(row: Row, column: number): string {
  const value = row[column];
  if (typeof value !== 'string') throw new TypeError(`column ${column} is not text`);
  return value;
}

/** The column as a number. */
export function numberAt(row: Row, column: number): number {
  const value = row[column];
  if (typeof value !== 'number') throw new TypeError(`column ${column} is not a number`);
  return value;
}

/** The column as the list of strings that it holds as JSON. */
export function listAt(row: Row, column: number): readonly string[] {
  const text = textAt(row, column);
  return text === '[]' ? [] : (JSON.parse(text) as readonly string[]);
}
