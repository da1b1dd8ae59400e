/** Brings deliveries back that wait: a bounded number of them each time, the oldest first. */
import type { Document } from 'mongodb';
import type { MakeDueOf } from '../store.ts';
import { elementOf, oldestFirst, setElement } from './apply-delivery.ts';
import type { DeliveryCounts } from './delivery-counts.ts';
import type { Collections } from './documents.ts';

/** What `DeliveryQueue.makeDue` says; `nowMs` by the clock of the database. */
export async function applyMakeDue(
  collections: Pick<Collections, 'audit'>,
  counts: DeliveryCounts,
  authority: string,
  nowMs: number,
  of: MakeDueOf,
  limit: number,
): Promise<number> {
  const due = setElement({ state: 'ready', dueMs: nowMs });
  switch (of) {
    case 'waiting': {
      const backing = await change(collections, authority, { state: { $eq: 'waiting' } }, due, limit);
      if (backing >= limit) return backing;
      // Recorded by a clock that has been set back since.
      const ahead = { state: { $eq: 'ready' }, dueMs: { $gt: nowMs } };
      return backing + (await change(collections, authority, ahead, due, limit - backing));
    }
    case 'parked': {
      const anew = { ...due, ...setElement({ parked: false, attempts: 0 }) };
      const parked = { state: { $in: ['ready', 'waiting'] }, parked: { $eq: true } };
      return change(collections, authority, parked, anew, limit);
    }
    case 'unwanted':
    case 'unwanted-ahead': {
      const waitUntilMs = of === 'unwanted' ? { $lt: nowMs } : { $gt: nowMs };
      const apart = { state: { $eq: 'unwanted' }, waitUntilMs };
      const longestAgo = await findLongestApart(collections, authority, elementOf(authority, apart).filter, limit);
      const made = await changeOf(collections, longestAgo, authority, apart, setElement({ state: 'ready' }));
      counts.add(authority, 0, -made);
      return made;
    }
  }
}

/** By when the one delivery was set apart: the others of its AuditEvent have times of their own. */
async function findLongestApart(
  { audit }: Pick<Collections, 'audit'>,
  authority: string,
  filter: Document,
  limit: number,
): Promise<readonly string[]> {
  const stages = [
    { $match: filter },
    { $project: { recordedMs: 1, seq: 1, deliveries: 1 } },
    { $unwind: '$deliveries' },
    { $match: { 'deliveries.authority': { $eq: authority } } },
    { $sort: { 'deliveries.waitUntilMs': 1, ...oldestFirst } },
    { $limit: limit },
    { $project: { _id: 1 } },
  ];
  const found = await audit.aggregate<{ _id: string }>(stages, { allowDiskUse: true }).toArray();
  return found.map(({ _id }) => _id);
}

async function change(
  collections: Pick<Collections, 'audit'>,
  authority: string,
  conditions: Document,
  fields: Document,
  limit: number,
): Promise<number> {
  const { filter } = elementOf(authority, conditions);
  const options = { projection: { _id: 1 }, sort: oldestFirst, limit } as const;
  const found = await collections.audit.find(filter, options).toArray();
  const ids = found.map(({ _id }) => _id);
  return changeOf(collections, ids, authority, conditions, fields);
}

/** The conditions again: another server may have leased some since. */
async function changeOf(
  { audit }: Pick<Collections, 'audit'>,
  ids: readonly string[],
  authority: string,
  conditions: Document,
  fields: Document,
): Promise<number> {
  if (ids.length === 0) return 0;
  const { filter, arrayFilters } = elementOf(authority, conditions);
  const ofIds = { _id: { $in: [...ids] }, ...filter };
  return (await audit.updateMany(ofIds, { $set: fields }, { arrayFilters })).modifiedCount;
}
