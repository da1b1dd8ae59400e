import type { IndexValue } from '../../fhir/search/ast.ts';
import type { AuditWrite, Store, StoredResource } from '../../store/store.ts';
import type { SubscriptionStatus } from './subscription.ts';

/** A change of a Subscription that the server makes, not a client. */
export interface SubscriptionChange {
  readonly before: StoredResource;
  readonly status: SubscriptionStatus;
  /** The value of `Subscription.error`: a short class, never a value from the endpoint. Undefined: no error. */
  readonly error: string | undefined;
  readonly atMs: number;
}

export interface VersionWriter {
  readonly commit: Store['commit'];
  /** Returns the search index of a Subscription. */
  readonly indexOf: (resource: Readonly<Record<string, unknown>>) => readonly IndexValue[];
  /** Returns the AuditEvent of the change; without it the change is not audited. */
  readonly auditOf?: (change: SubscriptionChange) => AuditWrite;
}

/**
 * Writes the next version of a Subscription with another status and error. Returns undefined if somebody else has
 * written it meanwhile and nothing was changed. Rejects as `Store.commit` does.
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
