/** Encodes the records of another store as documents. */
import type { CopiedAudit, CopiedResource, CopyKind, CopyRecords } from '../../store-copy.ts';
import { queueTexts } from '../encoding/delivery-place.ts';
import {
  type AuditDocument,
  type Collections,
  type ResourceDocument,
  resourceKey,
  type VersionDocument,
} from '../encoding/documents.ts';
import { encodeIndex } from '../encoding/encode-index.ts';
import { encodeReference, encodeVersion } from '../encoding/encode-unit.ts';

/** A document of a copied collection. */
export type CopyDocument = Readonly<Record<string, unknown>> & { readonly _id: string };

/** The collection for each kind of record. */
export const collectionOf = {
  resource: 'resource',
  audit: 'audit',
  usedOnce: 'usedOnce',
  deliveryCount: 'deliveryCount',
  breach: 'breach',
  subscriptionEvent: 'subscriptionEvent',
  acknowledged: 'subscriptionAcknowledged',
} as const satisfies Record<CopyKind, keyof Collections>;

/** `toServer` converts this machine's time to the database's, by which deliveries become due. */
export function buildCopyEncoder(toServer: (ms: number) => number): {
  readonly [K in CopyKind]: (record: CopyRecords[K]) => CopyDocument;
} {
  return {
    resource: (record) => ({ ...encodeResource(record) }),
    audit: (record) => ({ ...encodeCopiedAudit(record, toServer) }),
    usedOnce: ({ key, expiresAtMs }) => ({ _id: key, expiresAtMs, use: 'copied' }),
    deliveryCount: ({ authority, delivered, unmatched }) => ({ _id: authority, delivered, unwanted: unmatched }),
    breach: (record) => ({ _id: `${record.authority}/${record.kind}/${record.oldestRecordedMs}`, ...record }),
    subscriptionEvent: (record) => ({ _id: `${record.subscription}/${record.number}`, ...record }),
    acknowledged: ({ subscription, number }) => ({ _id: subscription, number }),
  };
}

/** Returns the past versions of a resource. */
export function encodeCopiedVersions({ type, id, versions }: CopiedResource): readonly VersionDocument[] {
  return versions.slice(0, -1).map((past) => encodeVersion(resourceKey(type, id), type, id, past));
}

function encodeResource({ type, id, revision, labels, versions, index }: CopiedResource): ResourceDocument {
  const current = versions.at(-1);
  if (current === undefined) throw new TypeError('a resource of the store has no version');
  const { version, lastUpdatedMs, method, body } = current;
  return {
    _id: resourceKey(type, id),
    type,
    id,
    version,
    revision,
    lastUpdatedMs,
    method,
    deleted: body === null,
    body,
    labels,
    versionLabels: current.labels,
    ...encodeIndex(type, index),
  };
}

/** Pads `seq` so that copied AuditEvents come before those that a server writes, whose `seq` starts with the time. */
function encodeCopiedAudit(audit: CopiedAudit, toServer: (ms: number) => number): AuditDocument {
  const { id, seq, patients, agents, entities, ...rest } = audit;
  const deliveries = audit.deliveries.map(({ dueMs, waitUntilMs, ...delivery }) => ({
    ...delivery,
    state: delivery.state === 'unmatched' ? ('unwanted' as const) : delivery.state,
    dueMs: toServer(dueMs),
    waitUntilMs: toServer(waitUntilMs),
    leaseToken: null,
  }));
  return {
    _id: id,
    ...rest,
    seq: String(seq).padStart(20, '0'),
    patients: patients.map(encodeReference),
    agents: agents.map(encodeReference),
    entities: entities.map(encodeReference),
    deliveries,
    queue: deliveries.flatMap(queueTexts),
    undelivered: deliveries.filter(({ state }) => state !== 'delivered').length,
  };
}
