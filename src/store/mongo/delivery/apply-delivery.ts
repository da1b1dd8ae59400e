/**
 * Leases and settles deliveries. The filter of each update holds the state that it starts from, and the lease token if it is
 * fenced. The lease token that a caller holds also names the place of the delivery.
 */
import type { Document } from 'mongodb';
import type { ClaimedDelivery, Settlement } from '../../store.ts';
import {
  atPlace,
  changePlaces,
  type DeliveryPlace,
  findOldest,
  oldestFirst,
  placeOf,
  setState,
  tallyPath,
  tallyText,
  taskPath,
  taskText,
  timedText,
} from '../encoding/delivery-place.ts';
import type { AuditDocument, Collections, DeliveryDocument } from '../encoding/documents.ts';
import { startingWith } from '../encoding/key-text.ts';
import type { CountChange, DeliveryCounts } from './delivery-counts.ts';

type Audits = Pick<Collections, 'audit'>;

/** After the first round, others look for replacements of deliveries that other servers claimed meanwhile. */
const maxRounds = 100;

/** Makes deliveries ready whose time has come or whose lease has expired, then leases the oldest that are ready. */
export async function applyClaim(
  collections: Audits,
  authority: string,
  limit: number,
  nowMs: number,
  leaseUntilMs: number,
  token: string,
): Promise<readonly ClaimedDelivery[]> {
  await promoteExpired(collections, authority, nowMs, leaseUntilMs);
  const ready = taskText('ready', authority);
  const isDue = ({ state, dueMs }: DeliveryDocument) => state === 'ready' && dueMs <= nowMs;
  const ids: string[] = [];
  let claimed = 0;
  for (let rounds = 0; claimed < limit && rounds < maxRounds; rounds++) {
    const filter = { queue: { $eq: ready }, 'deliveries.dueMs': { $lte: nowMs } };
    const due = await findOldest(collections, authority, filter, isDue, limit - claimed);
    if (due.length === 0) break;
    // Another server may have leased some of them meanwhile. The next round then finds others.
    claimed += await changePlaces(
      collections,
      due,
      (position) => ({ [taskPath(position)]: { $eq: ready }, ...atPlace(position, { dueMs: { $lte: nowMs } }) }),
      (position) =>
        setState(position, authority, { state: 'leased', waitUntilMs: leaseUntilMs }, { leaseToken: token }),
    );
    ids.push(...due.map(({ auditId }) => auditId));
  }
  if (claimed === 0) return [];
  const mine = { _id: { $in: ids }, 'deliveries.leaseToken': { $eq: token } };
  const found = await collections.audit.find(mine, { sort: oldestFirst }).toArray();
  return found.flatMap((document) => asClaimed(document, authority, token));
}

/** Returns false if the settlement was stale and changed nothing. */
export async function applySettle(
  { audit }: Audits,
  counts: DeliveryCounts,
  { authority, auditId, leaseToken, parked }: ClaimedDelivery,
  settlement: Settlement,
): Promise<boolean> {
  const { token, position } = leaseOf(leaseToken);
  const settle = async (from: Document, update: Document): Promise<boolean> => {
    const filter = { _id: { $eq: auditId }, ...atPlace(position, { authority: { $eq: authority }, ...from }) };
    return (await audit.updateOne(filter, update)).modifiedCount > 0;
  };
  if (settlement.kind !== 'delivered') {
    const held = { state: { $eq: 'leased' }, leaseToken: { $eq: token } };
    const settled = await settle(held, compileSettlement(position, authority, settlement));
    // Nothing parks a delivery, or ends that, while its lease is held.
    if (settled) counts.add(authority, countSettled(settlement, parked ? 'parked' : 'owed'));
    return settled;
  }
  // A success counts even if another server holds the lease by now.
  const delivered = {
    $set: setState(
      position,
      authority,
      { state: 'delivered' },
      { tally: 'delivered', leaseToken: token, deliveredMs: settlement.atMs, parked: false },
    ),
    $inc: { undelivered: -1 },
    ...acknowledge(position, settlement.acknowledgedBy),
  };
  // The counts need to know which it was. The second round is for a delivery that changes meanwhile.
  const tallies = parked ? (['parked', 'owed', 'unwanted'] as const) : (['owed', 'parked', 'unwanted'] as const);
  for (const was of [...tallies, ...tallies]) {
    const filter = { _id: { $eq: auditId }, [tallyPath(position)]: { $eq: tallyText(was, authority) } };
    if ((await audit.updateOne(filter, delivered)).modifiedCount === 0) continue;
    counts.add(authority, { [was]: -1, delivered: 1 });
    return true;
  }
  return false;
}

/** Returns how the counts change by a settlement of a leased delivery. */
function countSettled({ kind, ...rest }: Settlement, was: 'owed' | 'parked'): CountChange {
  if (kind === 'unmatched') return { [was]: -1, unwanted: 1 };
  return 'park' in rest && rest.park === true && was === 'owed' ? { owed: -1, parked: 1 } : {};
}

function compileSettlement(
  position: number,
  authority: string,
  settlement: Exclude<Settlement, { kind: 'delivered' }>,
): Document {
  switch (settlement.kind) {
    case 'released':
      return { $set: setState(position, authority, { state: 'ready' }, { leaseToken: null }) };
    case 'unmatched': {
      const unmatched = { state: 'unwanted', waitUntilMs: settlement.atMs } as const;
      return { $set: setState(position, authority, unmatched, { tally: 'unwanted', leaseToken: null, parked: false }) };
    }
    case 'failed': {
      const { dueMs, reason, spendAttempt, park } = settlement;
      const parked = park === true ? ({ tally: 'parked', parked: true } as const) : {};
      const waiting = { state: 'waiting', waitUntilMs: dueMs } as const;
      return {
        $set: setState(position, authority, waiting, { leaseToken: null, dueMs, reason, ...parked }),
        $inc: atPlace(position, { attempts: spendAttempt ? 1 : 0 }),
        ...acknowledge(position, settlement.acknowledgedBy),
      };
    }
  }
}

function acknowledge(position: number, by: readonly string[]): Document {
  return by.length === 0 ? {} : { $addToSet: atPlace(position, { acknowledgedBy: { $each: [...by] } }) };
}

/** Returns false if the lease is no longer held. */
export async function applyExtend(
  { audit }: Audits,
  { authority, auditId, leaseToken }: ClaimedDelivery,
  leaseUntilMs: number,
): Promise<boolean> {
  const { token, position } = leaseOf(leaseToken);
  const held = { authority: { $eq: authority }, state: { $eq: 'leased' }, leaseToken: { $eq: token } };
  const leased = { state: 'leased', waitUntilMs: leaseUntilMs } as const;
  const extended = await audit.updateOne(
    { _id: { $eq: auditId }, ...atPlace(position, held) },
    { $set: setState(position, authority, leased, {}) },
  );
  return extended.matchedCount > 0;
}

const promotionBatch = 1_000;

async function promoteExpired(
  collections: Audits,
  authority: string,
  nowMs: number,
  leaseUntilMs: number,
): Promise<void> {
  // A lease that ends later was made by a clock that was ahead.
  const beyondMs = leaseUntilMs + (leaseUntilMs - nowMs);
  const isExpired = ({ state, waitUntilMs }: DeliveryDocument): boolean => {
    if (state === 'waiting') return waitUntilMs <= nowMs;
    return state === 'leased' && (waitUntilMs <= nowMs || waitUntilMs > beyondMs);
  };
  const ranges = [
    { $gte: taskText('waiting', authority), $lte: timedText('waiting', authority, nowMs) },
    { $gte: taskText('leased', authority), $lte: timedText('leased', authority, nowMs) },
    { ...startingWith(taskText('leased', authority)), $gte: timedText('leased', authority, beyondMs) },
  ];
  const filter = { undelivered: { $gt: 0 }, $or: ranges.map((range) => ({ queue: { $elemMatch: range } })) };
  let places: DeliveryPlace[] = [];
  const promote = async (): Promise<void> => {
    const expired = places;
    places = [];
    const conditions = [
      { state: { $eq: 'waiting' }, waitUntilMs: { $lte: nowMs } },
      { state: { $eq: 'leased' }, waitUntilMs: { $lte: nowMs } },
      { state: { $eq: 'leased' }, waitUntilMs: { $gt: beyondMs } },
    ];
    await changePlaces(
      collections,
      expired,
      (position) => ({ $or: conditions.map((condition) => atPlace(position, condition)) }),
      (position) => setState(position, authority, { state: 'ready' }, { leaseToken: null }),
    );
  };
  for await (const document of collections.audit.find(filter, { projection: { deliveries: 1 } })) {
    const place = placeOf(document, authority, isExpired);
    if (place !== undefined) places.push(place);
    if (places.length === promotionBatch) await promote();
  }
  if (places.length > 0) await promote();
}

function asClaimed(document: AuditDocument, authority: string, token: string): ClaimedDelivery[] {
  const { _id, recordedMs, body, deliveries } = document;
  const position = placeOf(document, authority)?.position ?? -1;
  const own = deliveries[position];
  if (own === undefined) return [];
  const { attempts, acknowledgedBy, parked } = own;
  const leaseToken = `${token}/${position}`;
  return [{ auditId: _id, authority, recordedMs, body, attempts, parked, acknowledgedBy, leaseToken }];
}

function leaseOf(leaseToken: string): { readonly token: string; readonly position: number } {
  const slash = leaseToken.lastIndexOf('/');
  return { token: leaseToken.slice(0, slash), position: Number(leaseToken.slice(slash + 1)) };
}
