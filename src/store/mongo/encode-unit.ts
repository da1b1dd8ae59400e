/** The parts of a write unit as they stand in the collections. */
import type { IndexValue } from '../../fhir/search/ast.ts';
import { indexKind } from '../index-kind.ts';
import type { AuditWrite, ResourceWrite } from '../store.ts';
import type {
  AuditDocument,
  DeliveryDocument,
  IndexEntry,
  PastVersion,
  ResourceDocument,
  VersionMark,
} from './documents.ts';

/** The `p` of the index entries of a parameter. */
export function paramKey(type: string, param: string): string {
  return `${type}|${param}`;
}

/** `id/Type` of a reference `Type/id`. */
export function auditReferenceKey(type: string, id: string): string {
  return `${id}/${type}`;
}

/** What a write sets in the document of its resource; the revision is not part of it. */
export function encodeWrite(
  write: ResourceWrite,
): Omit<ResourceDocument, '_id' | 'revision' | 'versions' | 'marks' | 'bodyBytes'> {
  const { type, id, version, lastUpdatedMs, body, method, labels } = write;
  return {
    type,
    id,
    version,
    lastUpdatedMs,
    method,
    deleted: body === null,
    body,
    labels: [...labels],
    versionLabels: [...labels],
    index: body === null ? [] : write.index.map((value) => encodeIndexValue(type, value)),
  };
}

/** The mark of the version that a write makes. */
export function encodeMark({ version, lastUpdatedMs, body, labels }: ResourceWrite): VersionMark {
  return { version, ms: lastUpdatedMs, deleted: body === null, labels: [...labels] };
}

/** The current version as it stands among the past ones when another follows it. */
export function encodePastVersion(current: ResourceDocument): PastVersion {
  const { version, lastUpdatedMs = 0, method = 'PUT', versionLabels = [], body = null } = current;
  return { version, lastUpdatedMs, method, labels: versionLabels, body };
}

export function encodeIndexValue(type: string, value: IndexValue): IndexEntry {
  const p = paramKey(type, value.param);
  const k = indexKind[value.kind];
  switch (value.kind) {
    case 'token':
      return { p, k, a: value.code, b: value.system ?? '' };
    case 'reference':
      return { p, k, a: value.id, b: value.type };
    case 'reference-identifier':
      return { p, k, a: value.value, b: value.system ?? '' };
    case 'date':
      return { p, k, a: value.startMs, b: value.endMs };
    case 'string':
      return { p, k, a: value.normalised, b: value.exact };
    case 'uri':
      return { p, k, a: value.value, b: '' };
  }
}

/** `seq` orders those of one millisecond; `dueMs` is when it was recorded by the clock of the database. */
export function encodeAudit(audit: AuditWrite, seq: string, dueMs: number): AuditDocument {
  const { id, recordedMs, body, type, subtype, action, outcome, labels } = audit;
  const authorities = [...new Set(audit.deliverTo)];
  return {
    _id: id,
    recordedMs,
    seq,
    body,
    type,
    subtype,
    action,
    outcome,
    patients: audit.patients.map(encodeReference),
    agents: audit.agents.map(encodeReference),
    entities: audit.entities.map(encodeReference),
    labels: [...labels],
    deliveries: authorities.map((authority) => encodeDelivery(authority, dueMs)),
    undelivered: authorities.length,
  };
}

export function encodeReference(reference: string): string {
  const slash = reference.indexOf('/');
  return auditReferenceKey(reference.slice(0, slash), reference.slice(slash + 1));
}

function encodeDelivery(authority: string, dueMs: number): DeliveryDocument {
  return {
    authority,
    state: 'ready',
    dueMs,
    waitUntilMs: dueMs,
    leaseToken: null,
    attempts: 0,
    acknowledgedBy: [],
    parked: false,
    reason: null,
    deliveredMs: null,
  };
}
