import type { IndexValue } from '../../fhir/search/ast.ts';
import type { AuditWrite, Store, StoredResource } from '../../store/store.ts';
import type { SubscriptionStatus } from './subscription.ts';

/** A change of a Subscription that the server makes by itself. */
export interface SubscriptionChange {
  readonly before: StoredResource;
  readonly status: SubscriptionStatus;
  /** What goes into `Subscription.error`: a short class, never a value from the wire. Undefined: no error. */
  readonly error: string | undefined;
  readonly atMs: number;
}

export interface VersionWriter {
  readonly commit: Store['commit'];
  /** The search index of a Subscription. */
  readonly indexOf: (resource: Readonly<Record<string, unknown>>) => readonly IndexValue[];
  /** The AuditEvent of the change, where it is audited. */
  readonly auditOf?: (change: SubscriptionChange) => AuditWrite;
}

/**
 * Writes the next version of a Subscription with another status and error. Undefined: somebody else has written it
 * meanwhile, and nothing was changed. Throws as `Store.commit` does.
 */
export async function writeSubscriptionVersion(
  change: SubscriptionChange,
  writer: VersionWriter,
): Promise<StoredResource | undefined> {
  const { before, status, error } = change;
  const version = before.version + 1;
  const lastUpdatedMs = Math.max(change.atMs, before.lastUpdatedMs);
  const { error: _previous, ...resource } = JSON.parse(before.body);
  const next: Readonly<Record<string, unknown>> = {
    ...resource,
    meta: { ...resource.meta, versionId: String(version), lastUpdated: new Date(lastUpdatedMs).toISOString() },
    status,
    ...(error === undefined ? {} : { error }),
  };
  const body = JSON.stringify(next);
  const { type, id, labels } = before;
  const committed = await writer.commit({
    writes: [
      {
        type,
        id,
        version,
        lastUpdatedMs,
        body,
        method: 'PUT',
        labels,
        index: writer.indexOf(next),
        uniqueKeys: [],
      },
    ],
    guards: [],
    audits: writer.auditOf === undefined ? [] : [writer.auditOf(change)],
  });
  if (committed.kind === 'refused') return undefined;
  return { ...before, version, lastUpdatedMs, body, revision: before.revision + 1 };
}
