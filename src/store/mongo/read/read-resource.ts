/** Reads single resources. */
import type { ReadResult, StoredResource } from '../../store.ts';
import { type AuditDocument, type Collections, type ResourceDocument, resourceKey } from '../encoding/documents.ts';

/** Projection without the fields for searching. */
export const currentOnly = { versions: 0, keys: 0, dates: 0, order: 0 } as const;

/** Projection of an AuditEvent without its deliveries. */
export const withoutDeliveries = { deliveries: 0, queue: 0 } as const;

/** Reads the current version. */
export async function readResource(collections: Collections, type: string, id: string): Promise<ReadResult> {
  if (type === 'AuditEvent') return readAudit(collections, id);
  const found = await collections.resource.findOne(
    { _id: { $eq: resourceKey(type, id) } },
    { projection: currentOnly },
  );
  return found === null || found.version === 0 ? { kind: 'absent' } : asReadResult(found);
}

/** Decodes an AuditEvent. */
export function storedAudit({ _id, recordedMs, body, labels }: AuditDocument): StoredResource {
  return { type: 'AuditEvent', id: _id, version: 1, lastUpdatedMs: recordedMs, body, labels, revision: 1 };
}

/** Decodes the current version of a document that is neither a placeholder nor deleted. */
export function storedResource(found: ResourceDocument): StoredResource {
  const { type = '', id = '', version, lastUpdatedMs = 0, body, labels = [], revision } = found;
  return { type, id, version, lastUpdatedMs, body: body ?? '', labels, revision };
}

/** Reads an AuditEvent. */
export async function readAudit({ audit }: Collections, id: string): Promise<ReadResult> {
  const found = await audit.findOne({ _id: { $eq: id } }, { projection: withoutDeliveries });
  return found === null ? { kind: 'absent' } : { kind: 'found', resource: storedAudit(found) };
}

/** Decodes a document that is no placeholder. */
export function asReadResult(found: ResourceDocument): ReadResult {
  const { version, revision, labels = [] } = found;
  if (found.deleted === true) return { kind: 'deleted', version, revision, labels };
  return { kind: 'found', resource: storedResource(found) };
}
