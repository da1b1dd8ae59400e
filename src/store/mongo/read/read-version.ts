/** Reads past versions. */
import type { ReadResult } from '../../store.ts';
import { type Collections, resourceKey, type VersionDocument, versionKey } from '../encoding/documents.ts';
import { asReadResult, currentOnly, readAudit } from './read-resource.ts';

/**
 * Reads one version, a past one by one seek. If it is the current one, labels and revision are the present ones.
 */
export async function readResourceVersion(
  collections: Collections,
  type: string,
  id: string,
  version: number,
): Promise<ReadResult> {
  if (type === 'AuditEvent') return version === 1 ? readAudit(collections, id) : { kind: 'absent' };
  const key = resourceKey(type, id);
  const findPast = () => collections.version.findOne({ _id: { $eq: versionKey(key, version) } });
  const past = await findPast();
  if (past !== null) return storedVersion(past);
  const current = await collections.resource.findOne({ _id: { $eq: key } }, { projection: currentOnly });
  if (current === null || current.version < version || current.version === 0) return { kind: 'absent' };
  if (current.version === version) return asReadResult(current);
  // It was the current one a moment ago, or never existed.
  const replaced = await findPast();
  return replaced === null ? { kind: 'absent' } : storedVersion(replaced);
}

function storedVersion({ type, id, version, lastUpdatedMs, labels, body }: VersionDocument): ReadResult {
  if (body === null) return { kind: 'deleted', version, revision: 0, labels };
  return { kind: 'found', resource: { type, id, version, lastUpdatedMs, body, labels, revision: 0 } };
}
