/**
 * Leases and settlements of deliveries. A delivery is an element of its AuditEvent, so each change of one is atomic; its
 * filter holds the state that it starts from, and the lease token where it is fenced.
 */
import type { Document } from 'mongodb';
import type { ClaimedDelivery, Settlement } from '../store.ts';
import type { DeliveryCounts } from './delivery-counts.ts';
import type { AuditDocument, Collections, DeliveryDocument, DeliveryState } from './documents.ts';

/** A filter of the AuditEvents that have an element with these conditions, and `arrayFilters` that name it `d`. */
interface Element {
  readonly filter: Document;
  readonly arrayFilters: Document[];
}

/** An undelivered delivery of the authority that meets the conditions. */
export function elementOf(authority: string, conditions: Document): Element {
  const isOfAuthority = { $eq: authority };
  return {
    filter: { undelivered: { $gt: 0 }, deliveries: { $elemMatch: { authority: isOfAuthority, ...conditions } } },
    // An authority has one delivery of an AuditEvent.
    arrayFilters: [{ 'd.authority': isOfAuthority }],
  };
}

/** `{ $set: ... }` of fields of the element. */
export function setElement(fields: Partial<DeliveryDocument>): Document {
  return Object.fromEntries(Object.entries(fields).map(([name, value]) => [`deliveries.$[d].${name}`, value]));
}

export const oldestFirst = { recordedMs: 1, seq: 1 } as const;

/** What waited for its time, or lost its lease, is made ready first; then the oldest that are ready are leased. */
export async function applyClaim(
  collections: Pick<Collections, 'audit'>,
  authority: string,
  limit: number,
  nowMs: number,
  leaseUntilMs: number,
  leaseToken: string,
): Promise<readonly ClaimedDelivery[]> {
  const { audit } = collections;
  await promoteExpired(collections, authority, nowMs, leaseUntilMs);
  const due = elementOf(authority, { state: { $eq: 'ready' }, dueMs: { $lte: nowMs } });
  const lease = { $set: setElement({ state: 'leased', waitUntilMs: leaseUntilMs, leaseToken }) };
  const { arrayFilters } = due;
  let claimed = 0;
  while (claimed < limit) {
    const options = { projection: { _id: 1 }, sort: oldestFirst, limit: limit - claimed };
    const found = await audit.find(due.filter, options).toArray();
    if (found.length === 0) break;
    const ids = found.map(({ _id }) => _id);
    // Another server may have leased some of them since: then the next round finds others.
    const leased = await audit.updateMany({ _id: { $in: ids }, ...due.filter }, lease, { arrayFilters });
    claimed += leased.modifiedCount;
  }
  if (claimed === 0) return [];
  const mine = elementOf(authority, { state: { $eq: 'leased' }, leaseToken: { $eq: leaseToken } });
  const found = await audit.find(mine.filter, { sort: oldestFirst }).toArray();
  return found.flatMap((document) => asClaimed(document, authority, leaseToken));
}

/** False: stale, nothing changed. */
export async function applySettle(
  { audit }: Pick<Collections, 'audit'>,
  counts: DeliveryCounts,
  { authority, auditId, leaseToken }: ClaimedDelivery,
  settlement: Settlement,
): Promise<boolean> {
  const { element, update } = compileSettlement(authority, leaseToken, settlement);
  const { filter, arrayFilters } = element;
  const before = await audit.findOneAndUpdate({ _id: { $eq: auditId }, ...filter }, update, {
    arrayFilters,
    returnDocument: 'before',
    projection: { deliveries: 1 },
  });
  if (before === null) return false;
  const wasUnwanted = before.deliveries.find((delivery) => delivery.authority === authority)?.state === 'unwanted';
  if (settlement.kind === 'delivered') counts.add(authority, 1, wasUnwanted ? -1 : 0);
  if (settlement.kind === 'unwanted') counts.add(authority, 0, 1);
  return true;
}

function compileSettlement(
  authority: string,
  leaseToken: string,
  settlement: Settlement,
): { element: Element; update: Document } {
  const held = elementOf(authority, { state: { $eq: 'leased' }, leaseToken: { $eq: leaseToken } });
  switch (settlement.kind) {
    case 'delivered':
      // Whoever holds the lease.
      return {
        element: elementOf(authority, { state: { $in: ['ready', 'waiting', 'leased', 'unwanted'] } }),
        update: {
          $set: setElement({ state: 'delivered', leaseToken, deliveredMs: settlement.atMs, parked: false }),
          $inc: { undelivered: -1 },
          ...acknowledge(settlement.acknowledgedBy),
        },
      };
    case 'released':
      return { element: held, update: { $set: setElement({ state: 'ready', leaseToken: null }) } };
    case 'unwanted': {
      const apart = { state: 'unwanted', leaseToken: null, parked: false, waitUntilMs: settlement.atMs } as const;
      return { element: held, update: { $set: setElement(apart) } };
    }
    case 'failed': {
      const { dueMs, reason, spendAttempt, park } = settlement;
      const parked = park === true ? { parked: true } : {};
      return {
        element: held,
        update: {
          $set: setElement({ state: 'waiting', leaseToken: null, dueMs, waitUntilMs: dueMs, reason, ...parked }),
          $inc: { 'deliveries.$[d].attempts': spendAttempt ? 1 : 0 },
          ...acknowledge(settlement.acknowledgedBy),
        },
      };
    }
  }
}

function acknowledge(by: readonly string[]): Document {
  return by.length === 0 ? {} : { $addToSet: { 'deliveries.$[d].acknowledgedBy': { $each: [...by] } } };
}

/** False: the lease is not held any more. */
export async function applyExtend(
  { audit }: Pick<Collections, 'audit'>,
  { authority, auditId, leaseToken }: ClaimedDelivery,
  leaseUntilMs: number,
): Promise<boolean> {
  const { filter, arrayFilters } = elementOf(authority, {
    state: { $eq: 'leased' },
    leaseToken: { $eq: leaseToken },
  });
  const change = { $set: setElement({ waitUntilMs: leaseUntilMs }) };
  const extended = await audit.updateOne({ _id: { $eq: auditId }, ...filter }, change, { arrayFilters });
  return extended.matchedCount > 0;
}

async function promoteExpired(
  { audit }: Pick<Collections, 'audit'>,
  authority: string,
  nowMs: number,
  leaseUntilMs: number,
): Promise<void> {
  const expired: readonly [DeliveryState, Document][] = [
    ['waiting', { $lte: nowMs }],
    ['leased', { $lte: nowMs }],
    // Taken by a clock that was ahead.
    ['leased', { $gt: leaseUntilMs + (leaseUntilMs - nowMs) }],
  ];
  const ready = { $set: setElement({ state: 'ready', leaseToken: null }) };
  await Promise.all(
    expired.map(([state, waitUntilMs]) => {
      const { filter, arrayFilters } = elementOf(authority, { state: { $eq: state }, waitUntilMs });
      return audit.updateMany(filter, ready, { arrayFilters });
    }),
  );
}

function asClaimed(document: AuditDocument, authority: string, leaseToken: string): ClaimedDelivery[] {
  const { _id, recordedMs, body } = document;
  const own = document.deliveries.find((delivery) => delivery.authority === authority);
  if (own === undefined) return [];
  const { attempts, acknowledgedBy, parked } = own;
  return [{ auditId: _id, authority, recordedMs, body, attempts, parked, acknowledgedBy, leaseToken }];
}
