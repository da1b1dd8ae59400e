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
    case 'unwanted': {
      const made = await change(collections, authority, { state: { $eq: 'unwanted' } }, due, limit);
      counts.add(authority, 0, -made);
      return made;
    }
  }
}

async function change(
  { audit }: Pick<Collections, 'audit'>,
  authority: string,
  conditions: Document,
  fields: Document,
  limit: number,
): Promise<number> {
  const { filter, arrayFilters } = elementOf(authority, conditions);
  const found = await audit.find(filter, { projection: { _id: 1 }, sort: oldestFirst, limit }).toArray();
  if (found.length === 0) return 0;
  const ids = found.map(({ _id }) => _id);
  const { modifiedCount } = await audit.updateMany(
    { _id: { $in: ids }, ...filter },
    { $set: fields },
    { arrayFilters },
  );
  return modifiedCount;
}
