/** Returns deliveries to the queue, a bounded number at a time. */
import type { RequeueOf } from '../../store.ts';
import {
  atPlace,
  changePlaces,
  type DeliveryPlace,
  findOldest,
  placeOf,
  setState,
  tallyText,
  taskText,
  timedText,
} from '../encoding/delivery-place.ts';
import type { Collections, DeliveryDocument } from '../encoding/documents.ts';
import { startingWith } from '../encoding/key-text.ts';
import type { DeliveryCounts } from './delivery-counts.ts';

type Audits = Pick<Collections, 'audit'>;

/** See `DeliveryQueue.requeue`. `nowMs` is by the clock of the database. */
export async function applyRequeue(
  collections: Audits,
  counts: DeliveryCounts,
  authority: string,
  nowMs: number,
  of: RequeueOf,
  limit: number,
): Promise<number> {
  const makeReady = (position: number, fields: Parameters<typeof setState>[3]) =>
    setState(position, authority, { state: 'ready' }, fields);
  switch (of) {
    case 'waiting': {
      const filter = { queue: { $elemMatch: startingWith(taskText('waiting', authority)) } };
      const isWaiting = ({ state }: DeliveryDocument) => state === 'waiting';
      const waiting = await findOldest(collections, authority, filter, isWaiting, limit);
      const requeued = await changePlaces(
        collections,
        waiting,
        (position) => atPlace(position, { state: { $eq: 'waiting' } }),
        (position) => makeReady(position, { dueMs: nowMs }),
      );
      if (requeued >= limit) return requeued;
      // These were recorded by a clock that has since been set back.
      const later = { dueMs: { $gt: nowMs } };
      const ahead = await findOldest(
        collections,
        authority,
        { queue: { $eq: taskText('ready', authority) }, 'deliveries.dueMs': later.dueMs },
        ({ state, dueMs }) => state === 'ready' && dueMs > nowMs,
        limit - requeued,
      );
      const broughtForward = await changePlaces(
        collections,
        ahead,
        (position) => atPlace(position, { state: { $eq: 'ready' }, ...later }),
        (position) => makeReady(position, { dueMs: nowMs }),
      );
      return requeued + broughtForward;
    }
    case 'parked': {
      const filter = { queue: { $eq: tallyText('parked', authority) } };
      const isParked = ({ state, parked }: DeliveryDocument) => parked && (state === 'ready' || state === 'waiting');
      const parked = await findOldest(collections, authority, filter, isParked, limit);
      return changePlaces(
        collections,
        parked,
        (position) => atPlace(position, { state: { $in: ['ready', 'waiting'] }, parked: { $eq: true } }),
        (position) => makeReady(position, { dueMs: nowMs, tally: 'owed', parked: false, attempts: 0 }),
      );
    }
    case 'unmatched':
    case 'unmatched-ahead': {
      const bound = of === 'unmatched' ? '$lt' : '$gt';
      const earliest = await findEarliestUnmatched(collections, authority, bound, nowMs, limit);
      const requeued = await changePlaces(
        collections,
        earliest,
        (position) => atPlace(position, { state: { $eq: 'unwanted' }, waitUntilMs: { [bound]: nowMs } }),
        (position) => makeReady(position, { tally: 'owed' }),
      );
      counts.add(authority, 0, -requeued);
      return requeued;
    }
  }
}

/** Finds those that were marked unmatched first. Their keys are in that order. */
async function findEarliestUnmatched(
  { audit }: Audits,
  authority: string,
  bound: '$lt' | '$gt',
  atMs: number,
  limit: number,
): Promise<readonly DeliveryPlace[]> {
  const all = taskText('unwanted', authority);
  const at = timedText('unwanted', authority, atMs);
  const range = bound === '$lt' ? { $gte: all, $lt: at } : { ...startingWith(all), $gt: at };
  const stages = [
    { $match: { undelivered: { $gt: 0 }, queue: { $elemMatch: range } } },
    { $project: { queue: 1 } },
    { $unwind: '$queue' },
    { $match: { queue: range } },
    { $sort: { queue: 1, _id: 1 } },
    { $limit: limit },
  ];
  const found = await audit.aggregate<{ _id: string }>(stages, { allowDiskUse: true }).toArray();
  const ids = found.map(({ _id }) => _id);
  const documents = await audit.find({ _id: { $in: ids } }, { projection: { deliveries: 1 } }).toArray();
  return documents.flatMap((document) => placeOf(document, authority) ?? []);
}
