/** Applies one write unit inside the batch's transaction. */
import type { RevisionGuard } from '../../write-unit.ts';
import { indexKind, labelParam } from '../connection/schema.ts';
import type { Statements } from '../connection/statements.ts';
import { type AuditRow, parseAuditRow } from '../encoding/audit-row.ts';
import { checkAuditIds, checkUnit, duplicate, type Refusal, resourceKey } from './check-unit.ts';
import type { WriteRow } from './unit-op.ts';

/** The sequence of AuditEvents. */
export interface AuditSequence {
  /** The number of the next AuditEvent. */
  next: number;
}

/** Returns true if it applied the unit, else the refusal; a refused unit changes nothing. */
export function applyUnit(
  statements: Statements,
  sequence: AuditSequence,
  writes: readonly WriteRow[],
  guards: readonly RevisionGuard[],
  auditRows: readonly string[],
): true | Refusal {
  const audits = auditRows.map(parseAuditRow);
  const [only] = audits;
  if (only !== undefined && audits.length === 1 && writes.length === 0 && guards.length === 0) {
    return insertAudit(statements, sequence, only) ? true : duplicate('AuditEvent', only.id, only.id);
  }
  if (writes.length === 0 && guards.length === 0) {
    const refusal = checkAuditIds(statements, audits);
    if (refusal !== undefined) return refusal;
  } else {
    const check = checkUnit(statements, writes, guards, audits);
    if (check.kind === 'refused') return check.refusal;
    applyWrites(statements, writes, check.revisions);
    for (const guard of guards)
      if (!check.revisions.has(resourceKey(guard.type, guard.id))) applyGuard(statements, guard);
  }
  for (const audit of audits) insertAudit(statements, sequence, audit);
  return true;
}

function applyWrites(
  statements: Statements,
  writes: readonly WriteRow[],
  revisions: ReadonlyMap<string, number>,
): void {
  for (const { type, id, version } of writes) {
    if (version === 1) continue;
    statements.run('DELETE FROM index_value WHERE type = ? AND id = ?', type, id);
  }
  for (const write of writes) insertVersion(statements, write, revisions.get(resourceKey(write.type, write.id)) ?? 0);
}

function insertVersion(statements: Statements, write: WriteRow, revision: number): void {
  const { type, id, version, lastUpdatedMs, body, method } = write;
  const labels = JSON.stringify(write.labels);
  const { lastInsertRowid } = statements.run(
    'INSERT INTO version (type, id, version, lastUpdatedMs, method, labels, body) VALUES (?, ?, ?, ?, ?, ?, ?)',
    type,
    id,
    version,
    lastUpdatedMs,
    method,
    labels,
    body,
  );
  statements.run(
    'INSERT OR REPLACE INTO resource VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
    type,
    id,
    version,
    revision + 1,
    lastUpdatedMs,
    body === null ? 1 : 0,
    labels,
    lastInsertRowid,
  );
  insertHistoryKeys(statements, type, id, write.labels);
  if (body === null) return;
  for (const [kind, param, v1, v2] of write.index) {
    statements.run('INSERT OR IGNORE INTO index_value VALUES (?, ?, ?, ?, ?, ?)', type, id, param, kind, v1, v2);
  }
  insertLabels(statements, type, id, write.labels);
  for (const key of new Set(write.uniqueKeys)) {
    statements.run('INSERT OR IGNORE INTO unique_key VALUES (?, ?, ?)', key, type, id);
  }
}

function applyGuard(statements: Statements, { type, id, expectRevision, labels }: RevisionGuard): void {
  const revision = expectRevision + 1;
  if (labels === undefined) {
    statements.run('UPDATE resource SET revision = ? WHERE type = ? AND id = ?', revision, type, id);
    return;
  }
  const text = JSON.stringify(labels);
  statements.run('UPDATE resource SET revision = ?, labels = ? WHERE type = ? AND id = ?', revision, text, type, id);
  insertHistoryKeys(statements, type, id, labels);
  statements.run('DELETE FROM index_value WHERE type = ? AND id = ? AND param = ?', type, id, labelParam);
  const live = statements.row('SELECT 1 FROM resource WHERE type = ? AND id = ? AND deleted = 0', type, id);
  if (live !== undefined) insertLabels(statements, type, id, labels);
}

function insertLabels(statements: Statements, type: string, id: string, labels: readonly string[]): void {
  for (const label of labels) {
    const sql = 'INSERT OR IGNORE INTO index_value VALUES (?, ?, ?, ?, ?, ?)';
    statements.run(sql, type, id, labelParam, indexKind.label, label, '');
  }
}

/** Adds the current version to the history of these labels. */
function insertHistoryKeys(statements: Statements, type: string, id: string, labels: readonly string[]): void {
  for (const label of labels) {
    const sql = `INSERT OR IGNORE INTO version_label
      SELECT ?, type, lastUpdatedMs, versionRow FROM resource WHERE type = ? AND id = ?`;
    statements.run(sql, label, type, id);
  }
}

/** Returns false if an AuditEvent with this id exists. */
function insertAudit(statements: Statements, sequence: AuditSequence, audit: AuditRow): boolean {
  const { id, recordedMs, type, subtype, action, outcome, present, keys, body, texts, deliverTo } = audit;
  const seq = sequence.next;
  const { changes } = statements.run(
    'INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING',
    seq,
    id,
    recordedMs,
    type,
    subtype,
    action,
    outcome,
    present,
    keys,
    body,
    deliverTo,
  );
  if (changes === 0) return false;
  for (const [key, text] of texts) statements.run('INSERT OR IGNORE INTO audit_text VALUES (?, ?)', key, text);
  sequence.next += 1;
  return true;
}
