/** Reads one resource, or one version of it. */
import type { ReadResult, StoredResource } from '../../store.ts';
import { listAt, numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';
import { labelsOf } from '../encoding/audit-key.ts';

/** Returns the whole text of a stored AuditEvent. */
export type TextOf = (body: string) => string;

/** Returns the current version. */
export function readResource(statements: Statements, textOf: TextOf, type: string, id: string): ReadResult {
  if (type === 'AuditEvent') return readAudit(statements, textOf, id);
  const row = statements.row(
    `SELECT r.version, r.lastUpdatedMs, v.body, r.labels, r.revision
     FROM resource r CROSS JOIN version v ON v.row = r.versionRow WHERE r.type = ? AND r.id = ?`,
    type,
    id,
  );
  return toReadResult(type, id, row);
}

/** Returns one version. Its labels and revision are up to date if it is the current one. */
export function readResourceVersion(
  statements: Statements,
  textOf: TextOf,
  type: string,
  id: string,
  version: number,
): ReadResult {
  if (type === 'AuditEvent') return version === 1 ? readAudit(statements, textOf, id) : { kind: 'absent' };
  const row = statements.row(
    `SELECT v.version, v.lastUpdatedMs, v.body, coalesce(r.labels, v.labels), coalesce(r.revision, 0)
     FROM version v LEFT JOIN resource r ON r.type = v.type AND r.id = v.id AND r.version = v.version
     WHERE v.type = ? AND v.id = ? AND v.version = ?`,
    type,
    id,
    version,
  );
  return toReadResult(type, id, row);
}

/** Decodes a row with the columns id, recordedMs, body and keys of audit. */
export function storedAudit(row: Row, textOf: TextOf): StoredResource {
  return {
    type: 'AuditEvent',
    id: textAt(row, 0),
    version: 1,
    lastUpdatedMs: numberAt(row, 1),
    body: textOf(textAt(row, 2)),
    labels: labelsOf(textAt(row, 3)),
    revision: 1,
  };
}

function readAudit(statements: Statements, textOf: TextOf, id: string): ReadResult {
  const row = statements.row('SELECT id, recordedMs, body, keys FROM audit WHERE id = ?', id);
  return row === undefined ? { kind: 'absent' } : { kind: 'found', resource: storedAudit(row, textOf) };
}

function toReadResult(type: string, id: string, row: Row | undefined): ReadResult {
  if (row === undefined) return { kind: 'absent' };
  const version = numberAt(row, 0);
  const labels = listAt(row, 3);
  const revision = numberAt(row, 4);
  if (row[2] === null) return { kind: 'deleted', version, revision, labels };
  const lastUpdatedMs = numberAt(row, 1);
  return { kind: 'found', resource: { type, id, version, lastUpdatedMs, body: textAt(row, 2), labels, revision } };
}
