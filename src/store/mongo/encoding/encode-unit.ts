/** Encodes the parts of a write unit as documents. */
import type { AuditWrite, ResourceWrite } from '../../store.ts';
import { queueTexts } from './delivery-place.ts';
import {
  type AuditDocument,
  type DeliveryDocument,
  type PastVersion,
  type ResourceDocument,
  type VersionDocument,
  versionKey,
} from './documents.ts';
import { encodeIndex } from './encode-index.ts';

/** Returns `id/Type` for a reference `Type/id`. */
export function auditReferenceKey(type: string, id: string): string {
  return `${id}/${type}`;
}

/** Returns the fields that a write sets in the document of its resource. The revision is not one of them. */
export function encodeWrite(write: ResourceWrite): Omit<ResourceDocument, '_id' | 'revision' | 'versions'> {
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
    ...encodeIndex(type, body === null ? [] : write.index),
  };
}

/** Returns the current version as a past one, for when another version follows it. */
export function encodePastVersion(current: ResourceDocument): PastVersion {
  const { version, lastUpdatedMs = 0, method = 'PUT', versionLabels = [], body = null } = current;
  return { version, lastUpdatedMs, method, labels: versionLabels, body };
}

/** Returns the document of a past version. `key` is the `_id` of its resource. */
export function encodeVersion(key: string, type: string, id: string, past: PastVersion): VersionDocument {
  const { version, lastUpdatedMs, method, labels, body } = past;
  const deleted = body === null;
  return { _id: versionKey(key, version), type, id, version, lastUpdatedMs, method, deleted, labels, body };
}

/** `seq` orders AuditEvents of the same millisecond; `dueMs` is the recorded time by the clock of the database. */
export function encodeAudit(audit: AuditWrite, seq: string, dueMs: number): AuditDocument {
  const { id, recordedMs, body, type, subtype, action, outcome, labels } = audit;
  const deliveries = [...new Set(audit.deliverTo)].map((authority) => encodeDelivery(authority, dueMs));
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
    deliveries,
    queue: deliveries.flatMap(queueTexts),
    undelivered: deliveries.length,
  };
}

/** Encodes a reference `Type/id`. */
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
