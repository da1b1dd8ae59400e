/** Checks the preconditions of a unit by reads only, so that a refused unit never needs a rollback. */
import type { CommitResult, RevisionGuard } from '../../write-unit.ts';
import { numberAt, type Statements, textAt } from '../connection/statements.ts';
import type { AuditRow } from '../encoding/audit-row.ts';
import type { WriteRow } from './unit-op.ts';

export type Refusal = Exclude<CommitResult, { kind: 'committed' }>;

/** The current version and revision of a resource; both 0 if it never existed. */
interface Current {
  readonly version: number;
  readonly revision: number;
}

const never: Current = { version: 0, revision: 0 };

/** The previous revision of each written resource by `type/id`, or the refusal. */
export type Check =
  | { readonly kind: 'holds'; readonly revisions: ReadonlyMap<string, number> }
  | { readonly kind: 'refused'; readonly refusal: Refusal };

/** Checks versions, revisions, conditions and unique keys against the state before the unit. */
export function checkUnit(
  statements: Statements,
  writes: readonly WriteRow[],
  guards: readonly RevisionGuard[],
  audits: readonly AuditRow[],
): Check {
  const revisions = new Map<string, number>();
  for (const { type, id, expectRevision } of guards) {
    if (readCurrent(statements, type, id).revision !== expectRevision) return refused('version-conflict', type, id);
  }
  for (const { type, id, version } of writes) {
    const key = resourceKey(type, id);
    const current = readCurrent(statements, type, id);
    if (current.version !== version - 1 || revisions.has(key)) return refused('version-conflict', type, id);
    revisions.set(key, current.revision);
  }
  for (const write of writes) {
    const refusal = checkNoneExists(statements, write);
    if (refusal !== undefined) return { kind: 'refused', refusal };
  }
  const refusal = checkUniqueKeys(statements, writes) ?? checkAuditIds(statements, audits);
  return refusal === undefined ? { kind: 'holds', revisions } : { kind: 'refused', refusal };
}

/** Returns `type/id`. Neither part contains a slash. */
export function resourceKey(type: string, id: string): string {
  return `${type}/${id}`;
}

/** Returns the refusal for an AuditEvent whose id exists, or undefined if all are new. */
export function checkAuditIds(statements: Statements, audits: readonly AuditRow[]): Refusal | undefined {
  for (const [index, { id }] of audits.entries()) {
    const known = statements.row('SELECT 1 FROM audit WHERE id = ?', id) !== undefined;
    if (known || audits.findIndex((other) => other.id === id) < index) return duplicate('AuditEvent', id, id);
  }
  return undefined;
}

function readCurrent(statements: Statements, type: string, id: string): Current {
  const row = statements.row('SELECT version, revision FROM resource WHERE type = ? AND id = ?', type, id);
  return row === undefined ? never : { version: numberAt(row, 0), revision: numberAt(row, 1) };
}

function checkNoneExists(statements: Statements, { type, id, ifNoneExist }: WriteRow): Refusal | undefined {
  if (ifNoneExist === undefined) return undefined;
  const matches = statements.rows(ifNoneExist.sql, ...ifNoneExist.params);
  const [first] = matches;
  if (first === undefined) return undefined;
  if (matches.length > 1) return { kind: 'refused', reason: 'multiple-matches', type, id };
  return { kind: 'refused', reason: 'exists', type, id, existingId: textAt(first, 0) };
}

function checkUniqueKeys(statements: Statements, writes: readonly WriteRow[]): Refusal | undefined {
  const claimed = new Map<string, string>();
  for (const { type, id, uniqueKeys } of writes) {
    for (const key of uniqueKeys) {
      const other = claimed.get(key);
      if (other !== undefined && other !== id) return duplicate(type, id, other);
      claimed.set(key, id);
      const holder = statements.row('SELECT type, id FROM unique_key WHERE key = ?', key);
      if (holder === undefined) continue;
      const holderId = textAt(holder, 1);
      if (textAt(holder, 0) !== type || holderId !== id) return duplicate(type, id, holderId);
    }
  }
  return undefined;
}

function refused(reason: 'version-conflict', type: string, id: string): Check {
  return { kind: 'refused', refusal: { kind: 'refused', reason, type, id } };
}

/** Returns the refusal of a write whose id or unique key is taken. */
export function duplicate(type: string, id: string, existingId: string): Refusal {
  return { kind: 'refused', reason: 'duplicate-key', type, id, existingId };
}
