/** Reads AuditEvents with their deliveries, a page at a time. */
import { compareText } from '../../../fhir/search/compare-text.ts';
import type { CopiedAudit, CopiedDelivery } from '../../store-copy.ts';
import { listAt, numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';
import { auditRoles, labelsOf } from '../encoding/audit-key.ts';

/** Returns the AuditEvents of a page of rows, which have the columns of `copyTables.audit`. */
export function readCopiedAudits(
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

/** Returns the deliveries of a page of AuditEvents by sequence number, with two queries for the whole page. */
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
    // The process that held the lease has ended, because this one holds the lock of the folder.
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
