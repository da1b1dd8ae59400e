import { randomUUID } from 'node:crypto';
import { ownerLabel, viewerLabel } from '../../src/cpis/labels.ts';
import { protectSubscription } from '../../src/notification/subscriptions/channel-secrets.ts';
import type { Store } from '../../src/store/store.ts';

export const secretsKeys = [Buffer.alloc(32, 7)];

/** Stores a Subscription as a client's create does. */
export async function storeSubscription(
  store: Store,
  authority: string,
  id: string,
  endpoint: string,
  more: Record<string, unknown>,
  nowMs: number,
): Promise<void> {
  const { header, payload = 'application/fhir+json', ...rest } = more;
  const resource = {
    resourceType: 'Subscription',
    id,
    meta: { versionId: '1', lastUpdated: new Date(nowMs).toISOString() },
    status: 'requested',
    reason: 'Reads of our plans',
    criteria: 'AuditEvent',
    channel: {
      type: 'rest-hook',
      endpoint,
      ...(payload === null ? {} : { payload }),
      ...(header === undefined ? {} : { header }),
    },
    ...rest,
  };
  const body = JSON.stringify(protectSubscription(resource, undefined, secretsKeys));
  const result = await store.commit({
    writes: [
      {
        type: 'Subscription',
        id,
        version: 1,
        lastUpdatedMs: nowMs,
        body,
        method: 'POST',
        labels: [ownerLabel(authority), 'client:la'],
        index: [],
        uniqueKeys: [],
      },
    ],
    guards: [],
    audits: [],
  });
  if (result.kind !== 'committed') throw new Error(result.reason);
}

/** Stores the next version of a Subscription as a client's update does; null: a delete. */
export async function updateSubscription(
  store: Store,
  id: string,
  patch: Record<string, unknown> | null,
): Promise<void> {
  const found = await store.read('Subscription', id);
  if (found.kind !== 'found') throw new Error(found.kind);
  const { body, version, labels, lastUpdatedMs } = found.resource;
  const next = patch === null ? null : JSON.stringify({ ...JSON.parse(body), ...patch });
  const method = patch === null ? 'DELETE' : 'PUT';
  const write = {
    type: 'Subscription',
    id,
    version: version + 1,
    lastUpdatedMs,
    body: next,
    method,
    labels,
  } as const;
  const result = await store.commit({ writes: [{ ...write, index: [], uniqueKeys: [] }], guards: [], audits: [] });
  if (result.kind !== 'committed') throw new Error(result.reason);
}

/** Commits AuditEvents that are owed to the authority. Returns their ids. */
export async function commitEvents(
  store: Store,
  authority: string,
  count: number,
  action: string,
  nowMs: number,
): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  const audits = ids.map((id, position) => {
    const body = JSON.stringify({
      resourceType: 'AuditEvent',
      id,
      type: { system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest' },
      action,
      recorded: new Date(nowMs + position).toISOString(),
      agent: [{ who: { reference: `Organization/${authority}` }, requestor: false }],
    });
    return {
      ...{ id, recordedMs: nowMs, body, patients: [], agents: [`Organization/${authority}`], entities: [] },
      ...{ type: 'rest', subtype: 'search-type', action, outcome: '0' },
      ...{ labels: [viewerLabel(authority)], deliverTo: [authority] },
    };
  });
  await store.commit({ writes: [], guards: [], audits });
  return ids;
}
