/** A write unit as the writer thread takes it: index values as rows, conditions compiled. */
import type { IndexValue } from '../../fhir/search/ast.ts';
import type { AuditWrite, ResourceWrite, WriteUnit } from '../store.ts';
import { renderAuditKeys } from './audit-key.ts';
import type { TextEncoder } from './audit-text.ts';
import { compileSearch } from './compile-search.ts';
import { indexKind } from './schema.ts';
import type { AuditRow, IndexRow, UnitOp, WriteRow } from './write-op.ts';

/** Throws TypeError for an AuditEvent among `writes`: those go in `audits`, and nowhere else. */
export function encodeUnit(unit: WriteUnit, texts: TextEncoder): UnitOp {
  return ['unit', unit.writes.map(encodeWrite), unit.touches, unit.audits.map((audit) => encodeAudit(audit, texts))];
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

function encodeAudit(audit: AuditWrite, encoder: TextEncoder): AuditRow {
  const { id, recordedMs, type, subtype, action, outcome, deliverTo } = audit;
  const { keys, present } = renderAuditKeys(audit);
  const { body, texts } = encoder.encode(audit);
  return [id, recordedMs, type, subtype, action, outcome, present, keys, body, texts, deliverTo];
}
