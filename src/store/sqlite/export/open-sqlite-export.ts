/** Everything that a data folder holds, for another store. */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { DatabaseSync } from 'node:sqlite';
import { compareText } from '../../../fhir/search/compare-text.ts';
import type {
  CopiedAudit,
  CopiedDelivery,
  CopiedResource,
  CopiedVersion,
  CopyKind,
  CopyPosition,
  CopyRecords,
  CopySource,
} from '../../store-copy.ts';
import { StoreStartError } from '../../store-start-error.ts';
import { auditRoles, labelsOf } from '../audit-index/audit-key.ts';
import { openConnection } from '../connection/connection.ts';
import { lockFolder } from '../connection/folder-lock.ts';
import { openSchema } from '../connection/schema.ts';
import { listAt, numberAt, openStatements, type Row, type Statements, textAt } from '../connection/statements.ts';
import { queueDeliveries } from '../delivery/queue-deliveries.ts';
import { readIndexValues } from '../encoding/read-index-values.ts';
import { openTexts } from '../encoding/read-text.ts';

/** Rows read at one time; a resource comes with all its versions. */
const rowsOf = (kind: CopyKind): number => (kind === 'resource' ? 20 : 500);

/** Columns, from what table, by what unique order. */
interface Table {
  readonly columns: string;
  readonly from: string;
  readonly order: readonly string[];
}

const tables: Readonly<Record<CopyKind, Table>> = {
  resource: { columns: 'type, id, revision, labels', from: 'resource', order: ['type', 'id'] },
  audit: {
    columns: 'seq, id, recordedMs, type, subtype, action, outcome, keys, body',
    from: 'audit',
    order: ['seq'],
  },
  usedOnce: { columns: 'key, expiresAtMs', from: 'used_once', order: ['key'] },
  deliveryCount: {
    columns: 'c.authority, c.delivered, coalesce(u.count, 0)',
    from: 'delivery_count c LEFT JOIN delivery_unwanted u ON u.authority = c.authority',
    order: ['c.authority'],
  },
  breach: {
    columns: 'authority, kind, oldestRecordedMs, atMs, undelivered',
    from: 'delivery_breach',
    order: ['authority', 'kind', 'oldestRecordedMs'],
  },
  subscriptionEvent: {
    columns: 'subscription, number, auditId',
    from: 'subscription_event',
    order: ['subscription', 'number'],
  },
  acknowledged: { columns: 'subscription, number', from: 'subscription_acknowledged', order: ['subscription'] },
};

/** What any use of the store changes. */
const fingerprintSql = `SELECT
  (SELECT count(*) || ':' || coalesce(max(row), 0) FROM version), (SELECT coalesce(sum(revision), 0) FROM resource),
  (SELECT coalesce(max(seq), 0) FROM audit), (SELECT id FROM audit ORDER BY seq LIMIT 1),
  (SELECT id FROM audit ORDER BY seq DESC LIMIT 1),
  (SELECT count(*) || ':' || coalesce(sum(attempts + ready + parked + dueMs), 0) FROM delivery),
  (SELECT coalesce(sum(delivered), 0) FROM delivery_count), (SELECT count(*) FROM used_once),
  (SELECT count(*) FROM delivery_breach), (SELECT count(*) FROM subscription_event),
  (SELECT coalesce(sum(number), 0) FROM subscription_acknowledged)`;

/**
 * Locks the folder and opens its store for reading. Throws StoreStartError when there is none; as `openSqliteStore` when
 * the folder is in use or the store is of another version.
 */
export function openSqliteExport(folder: string): CopySource {
  const file = join(folder, 'store.sqlite');
  if (!existsSync(file)) throw new StoreStartError(`The folder ${folder} holds no store.`);
  const unlock = lockFolder(folder);
  try {
    // Opened for writing, so that what a process that was killed has left is put in order.
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

/** What was committed last, before the process that wrote it was killed, has its deliveries then too. */
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
    resource: each((row) => readResource(statements, row)),
    audit: (rows) => readAudits(statements, textOf, rows),
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
      const row = statements.row(`SELECT count(*) FROM ${tables[kind].from}`);
      return row === undefined ? 0 : numberAt(row, 0);
    },
    countBehind(kind, position) {
      const { from, order } = tables[kind];
      const row = statements.row(`SELECT count(*) FROM ${from} WHERE ${behind(order)}`, ...position);
      return row === undefined ? 0 : numberAt(row, 0);
    },
    *read(kind, after) {
      let position = after;
      while (true) {
        const rows = readPage(statements, tables[kind], position, rowsOf(kind));
        const records = decode[kind](rows);
        for (const [index, record] of records.entries()) {
          // The columns of the order are the first ones.
          position = (rows[index] ?? []).slice(0, tables[kind].order.length) as CopyPosition;
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

function readResource(statements: Statements, row: Row): CopiedResource {
  const type = textAt(row, 0);
  const id = textAt(row, 1);
  const of = 'WHERE type = ? AND id = ?';
  const versions = statements
    .rows(`SELECT version, lastUpdatedMs, method, labels, body FROM version ${of} ORDER BY version`, type, id)
    .map(
      (version): CopiedVersion => ({
        version: numberAt(version, 0),
        lastUpdatedMs: numberAt(version, 1),
        method: textAt(version, 2) as CopiedVersion['method'],
        labels: listAt(version, 3),
        body: version[4] === null ? null : textAt(version, 4),
      }),
    );
  const index = readIndexValues(statements, type, id);
  const uniqueKeys = statements
    .rows(`SELECT key FROM unique_key ${of} ORDER BY key`, type, id)
    .map((key) => textAt(key, 0));
  return { type, id, revision: numberAt(row, 2), labels: listAt(row, 3), versions, index, uniqueKeys };
}

function readAudits(
  statements: Statements,
  textOf: (body: string) => string,
  rows: readonly Row[],
): readonly CopiedAudit[] {
  const deliveries = readDeliveries(statements, rows);
  return rows.map((row) => decodeAudit(row, textOf, deliveries.get(numberAt(row, 0)) ?? []));
}

function decodeAudit(row: Row, textOf: (body: string) => string, deliveries: readonly CopiedDelivery[]): CopiedAudit {
  const keys = textAt(row, 7);
  const roles = Object.entries(JSON.parse(keys) as Readonly<Record<string, number>>);
  const inRole = (role: number): string[] =>
    roles.flatMap(([key, bits]) => {
      if (!key.startsWith('r:') || (bits & role) === 0) return [];
      const slash = key.lastIndexOf('/');
      return [`${key.slice(slash + 1)}/${key.slice('r:'.length, slash)}`];
    });
  return {
    id: textAt(row, 1),
    recordedMs: numberAt(row, 2),
    seq: numberAt(row, 0),
    body: textOf(textAt(row, 8)),
    type: textAt(row, 3),
    subtype: textAt(row, 4),
    action: textAt(row, 5),
    outcome: textAt(row, 6),
    patients: inRole(auditRoles.patient),
    agents: inRole(auditRoles.agent),
    entities: inRole(auditRoles.entity),
    labels: labelsOf(keys),
    deliveries,
  };
}

const states = ['waiting', 'ready', 'unmatched'] as const;
const authorities = "(SELECT authority FROM delivery_count WHERE authority >= '')";
const owedSql = `SELECT seq, authority, ready, dueMs, waitUntilMs, leaseToken, attempts, acknowledgedBy, reason, parked
  FROM delivery WHERE authority IN ${authorities} AND ready IN (0, 1, 2) AND recordedMs BETWEEN ? AND ?
  AND seq BETWEEN ? AND ?`;
const deliveredSql = `SELECT d.seq, d.authority, d.atMs, d.attempts, d.acknowledgedBy, a.recordedMs
  FROM delivered d JOIN audit a ON a.seq = d.seq
  WHERE d.authority IN ${authorities} AND d.seq BETWEEN ? AND ?`;

/** Those of a page of AuditEvents, by their sequence number: one look for each authority, not for each event. */
function readDeliveries(statements: Statements, rows: readonly Row[]): ReadonlyMap<number, readonly CopiedDelivery[]> {
  const found = new Map<number, CopiedDelivery[]>();
  const [first] = rows;
  const last = rows.at(-1);
  if (first === undefined || last === undefined) return found;
  const span = [numberAt(first, 0), numberAt(last, 0)];
  const times = rows.map((row) => numberAt(row, 2));
  const add = (seq: number, delivery: CopiedDelivery): void => {
    found.set(seq, [...(found.get(seq) ?? []), delivery]);
  };
  for (const row of statements.rows(owedSql, Math.min(...times), Math.max(...times), ...span)) {
    // Whoever held the lease is not there any more: the folder is locked.
    const state = row[5] === null ? states[numberAt(row, 2)] : 'ready';
    if (state === undefined) throw new TypeError('delivery has a row of an unknown state');
    add(numberAt(row, 0), {
      authority: textAt(row, 1),
      state,
      dueMs: numberAt(row, 3),
      waitUntilMs: numberAt(row, 4),
      attempts: numberAt(row, 6),
      acknowledgedBy: listAt(row, 7),
      reason: row[8] === null ? null : textAt(row, 8),
      parked: numberAt(row, 9) === 1,
      deliveredMs: null,
    });
  }
  for (const row of statements.rows(deliveredSql, ...span)) {
    const recordedMs = numberAt(row, 5);
    add(numberAt(row, 0), {
      authority: textAt(row, 1),
      state: 'delivered',
      dueMs: recordedMs,
      waitUntilMs: recordedMs,
      attempts: numberAt(row, 3),
      acknowledgedBy: listAt(row, 4),
      reason: null,
      parked: false,
      deliveredMs: numberAt(row, 2),
    });
  }
  for (const deliveries of found.values()) deliveries.sort((a, b) => compareText(a.authority, b.authority));
  return found;
}
