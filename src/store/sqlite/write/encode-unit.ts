/** Encodes a write unit for the writer thread: index values become rows, conditions are compiled. */
import type { IndexValue } from '../../../fhir/search/ast.ts';
import type { ResourceWrite, WriteUnit } from '../../write-unit.ts';
import { indexKind } from '../connection/schema.ts';
import { renderAuditRow } from '../encoding/audit-row.ts';
import type { TextEncoder, TextRow } from '../encoding/audit-text.ts';
import { compileSearch } from '../search/compile-search.ts';
import type { IndexRow, UnitOp, WriteRow } from './unit-op.ts';

export interface EncodedUnit {
  readonly op: string | UnitOp;
  /** The shared texts in `op`. */
  readonly texts: readonly TextRow[];
}

/** Throws TypeError if `writes` contains an AuditEvent; those belong in `audits`. */
export function encodeUnit({ writes, guards, audits }: WriteUnit, encoder: TextEncoder): EncodedUnit {
  const [first] = audits;
  if (first !== undefined && audits.length === 1 && writes.length === 0 && guards.length === 0) {
    const { row, texts } = renderAuditRow(first, encoder);
    return { op: row, texts };
  }
  const rendered = audits.map((audit) => renderAuditRow(audit, encoder));
  return {
    op: ['unit', writes.map(encodeWrite), guards, rendered.map(({ row }) => row)],
    texts: rendered.flatMap(({ texts }) => texts),
  };
}

function encodeWrite(write: ResourceWrite): WriteRow {
  if (write.type === 'AuditEvent') throw new TypeError('An AuditEvent is written as an audit, not as a resource.');
  const { type, id, version, lastUpdatedMs, body, method, labels, uniqueKeys } = write;
  const ifNoneExist =
    write.ifNoneExist === undefined ? undefined : compileSearch({ ...write.ifNoneExist, sort: [], limit: 2 }).page;
  const index = write.index.map(encodeIndexValue);
  return { type, id, version, lastUpdatedMs, body, method, labels, index, uniqueKeys, ifNoneExist };
}

function encodeIndexValue(value: IndexValue): IndexRow {
  const kind = indexKind[value.kind];
  switch (value.kind) {
    case 'token':
      return [kind, value.param, value.code, value.system ?? ''];
    case 'reference':
      return [kind, value.param, value.id, value.type];
    case 'reference-identifier':
      return [kind, value.param, value.value, value.system ?? ''];
    case 'date':
      return [kind, value.param, value.startMs, value.endMs];
    case 'string':
      return [kind, value.param, value.normalised, value.exact];
    case 'uri':
      return [kind, value.param, value.value, ''];
  }
}
