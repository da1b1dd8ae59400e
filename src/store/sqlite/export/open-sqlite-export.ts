/** Reads everything in a data folder, to copy it to another store. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import type { CopyKind, CopyPosition, CopyRecords, CopySource } from '../../store-copy.ts';
import { StoreStartError } from '../../store-start-error.ts';
import { openConnection } from '../connection/connection.ts';
import { lockFolder } from '../connection/folder-lock.ts';
import { openSchema } from '../connection/schema.ts';
import { numberAt, openStatements, type Row, type Statements, textAt } from '../connection/statements.ts';
import { queueDeliveries } from '../delivery/queue-deliveries.ts';
import { openTexts } from '../encoding/read-text.ts';
import { copyTables, fingerprintSql, type Table } from './copy-tables.ts';
import { readCopiedAudits } from './read-copied-audits.ts';
import { readCopiedResource } from './read-copied-resource.ts';

/** Number of rows in a page. Fewer resources, because each comes with all its versions. */
const rowsOf = (kind: CopyKind): number => (kind === 'resource' ? 20 : 500);

/**
 * Locks the folder and opens its store for reading. Throws StoreStartError if the folder has no store, is in use, or its
 * store has another schema version.
 */
export function openSqliteExport(folder: string): CopySource {
  const file = join(folder, 'store.sqlite');
  if (!existsSync(file)) throw new StoreStartError(`The folder ${folder} holds no store.`);
  const unlock = lockFolder(folder);
  try {
    // Opened for writing, so that SQLite recovers the log of a process that was killed.
    const db = openConnection({ file, use: 'write' });
    try {
      checkSchema(db);
      const statements = openStatements(db);
      queueAll(statements);
      db.exec('PRAGMA query_only = ON');
      return buildSource(statements, () => {
        db.close();
        unlock();
      });
    } catch (error) {
      db.close();
      throw error;
    }
  } catch (error) {
    unlock();
    throw error;
  }
}

/** Queues the deliveries of the last commits, which a killed process may not have queued. */
function queueAll(statements: Statements): void {
  const last = statements.row('SELECT coalesce(max(seq), 0) FROM audit');
  statements.run('BEGIN IMMEDIATE');
  queueDeliveries(statements, last === undefined ? 0 : numberAt(last, 0));
  statements.run('COMMIT');
}

function checkSchema(db: DatabaseSync): void {
  try {
    openSchema(db);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    throw new StoreStartError(error.message, { cause: error });
  }
}

function buildSource(statements: Statements, close: () => void): CopySource {
  const textOf = openTexts(statements);
  const each =
    <T>(decode: (row: Row) => T) =>
    (rows: readonly Row[]): readonly T[] =>
      rows.map(decode);
  const decode: { readonly [K in CopyKind]: (rows: readonly Row[]) => readonly CopyRecords[K][] } = {
    resource: each((row) => readCopiedResource(statements, row)),
    audit: (rows) => readCopiedAudits(statements, textOf, rows),
    usedOnce: each((row) => ({ key: textAt(row, 0), expiresAtMs: numberAt(row, 1) })),
    deliveryCount: each((row) => ({
      authority: textAt(row, 0),
      delivered: numberAt(row, 1),
      unmatched: numberAt(row, 2),
    })),
    breach: each((row) => ({
      authority: textAt(row, 0),
      kind: textAt(row, 1) === 'parked' ? 'parked' : 'overdue',
      oldestRecordedMs: numberAt(row, 2),
      atMs: numberAt(row, 3),
      undelivered: numberAt(row, 4),
    })),
    subscriptionEvent: each((row) => ({
      subscription: textAt(row, 0),
      number: numberAt(row, 1),
      auditId: textAt(row, 2),
    })),
    acknowledged: each((row) => ({ subscription: textAt(row, 0), number: numberAt(row, 1) })),
  };
  return {
    fingerprint: createHash('sha256')
      .update(JSON.stringify(statements.row(fingerprintSql)))
      .digest('base64url'),
    count(kind) {
      const row = statements.row(`SELECT count(*) FROM ${copyTables[kind].from}`);
      return row === undefined ? 0 : numberAt(row, 0);
    },
    countBehind(kind, position) {
      const { from, order } = copyTables[kind];
      const row = statements.row(`SELECT count(*) FROM ${from} WHERE ${behind(order)}`, ...position);
      return row === undefined ? 0 : numberAt(row, 0);
    },
    *read(kind, after) {
      let position = after;
      while (true) {
        const rows = readPage(statements, copyTables[kind], position, rowsOf(kind));
        const records = decode[kind](rows);
        for (const [index, record] of records.entries()) {
          // Each table selects the columns of its order first.
          position = (rows[index] ?? []).slice(0, copyTables[kind].order.length) as CopyPosition;
          yield { record, position };
        }
        if (rows.length < rowsOf(kind)) return;
      }
    },
    close,
  };
}

function behind(order: readonly string[]): string {
  return `(${order.join(', ')}) > (${order.map(() => '?').join(', ')})`;
}

function readPage(
  statements: Statements,
  { columns, from, order }: Table,
  after: CopyPosition | undefined,
  limit: number,
): readonly Row[] {
  const where = after === undefined ? '' : ` WHERE ${behind(order)}`;
  const sql = `SELECT ${columns} FROM ${from}${where} ORDER BY ${order.join(', ')} LIMIT ?`;
  return statements.rows(sql, ...(after ?? []), limit);
}
