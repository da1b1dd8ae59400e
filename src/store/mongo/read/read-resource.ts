/** Reads single resources and versions. */
import type { ReadResult, StoredResource } from '../../store.ts';
import { type AuditDocument, type Collections, type ResourceDocument, resourceKey } from '../encoding/documents.ts';

/** Projection without the fields for searching and history. */
export const currentOnly = { versions: 0, marks: 0, keys: 0, dates: 0, order: 0 } as const;

/** Projection without the fields for searching. */
export const withVersions = { marks: 0, keys: 0, dates: 0, order: 0 } as const;

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

/** Reads one version. If it is the current one, labels and revision are the present ones. */
export async function readResourceVersion(
  collections: Collections,
  type: string,
  id: string,
  version: number,
): Promise<ReadResult> {
  if (type === 'AuditEvent') return version === 1 ? readAudit(collections, id) : { kind: 'absent' };
  const found = await collections.resource.findOne(
    { _id: { $eq: resourceKey(type, id) } },
    { projection: withVersions },
  );
  if (found === null || found.version === 0) return { kind: 'absent' };
  if (found.version === version) return asReadResult(found);
  const past = found.versions?.find((each) => each.version === version);
  if (past === undefined) return { kind: 'absent' };
  const { lastUpdatedMs, labels, body } = past;
  if (body === null) return { kind: 'deleted', version, revision: 0, labels };
  return { kind: 'found', resource: { type, id, version, lastUpdatedMs, body, labels, revision: 0 } };
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

async function readAudit({ audit }: Collections, id: string): Promise<ReadResult> {
  const found = await audit.findOne({ _id: { $eq: id } }, { projection: withoutDeliveries });
  return found === null ? { kind: 'absent' } : { kind: 'found', resource: storedAudit(found) };
}

function asReadResult(found: ResourceDocument): ReadResult {
  const { version, revision, labels = [] } = found;
  if (found.deleted === true) return { kind: 'deleted', version, revision, labels };
  return { kind: 'found', resource: storedResource(found) };
}
