/** Returns deliveries to the queue, a bounded number at a time. */
import type { RequeueOf } from '../../store.ts';
import {
  atPlace,
  changePlaces,
  type DeliveryPlace,
  findOldest,
  oldestFirst,
  placeOf,
  setState,
  tallyText,
  taskText,
  timedText,
} from '../encoding/delivery-place.ts';
import type { AuditDocument, Collections, DeliveryDocument } from '../encoding/documents.ts';
import { startingWith } from '../encoding/key-text.ts';
import type { DeliveryCounts } from './delivery-counts.ts';
import { whileUndelivered } from './queue-index.ts';

type Audits = Pick<Collections, 'audit'>;

const newestFirst = { recordedMs: -1, seq: -1 } as const;

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
      const later = { dueMs: { $gt: nowMs } };
      const ahead = await findAhead(collections, authority, nowMs, limit - requeued);
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
      const requeued = await changePlaces(
        collections,
        parked,
        (position) => atPlace(position, { state: { $in: ['ready', 'waiting'] }, parked: { $eq: true } }),
        (position) => makeReady(position, { dueMs: nowMs, tally: 'owed', parked: false, attempts: 0 }),
      );
      counts.add(authority, { parked: -requeued, owed: requeued });
      return requeued;
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
      counts.add(authority, { unwanted: -requeued, owed: requeued });
      return requeued;
    }
  }
}

/** Maximum number of AuditEvents that are read at each end of a queue, to find those with a time ahead. */
const maxRead = 10_000;

/**
 * Finds ready deliveries that are due later, because the clock was set back since. Those that it recorded are the newest of
 * the queue; those that were requeued or tried before it was set back are the oldest. Both ends are read, so that the cost
 * does not grow with the backlog.
 */
async function findAhead(
  { audit }: Audits,
  authority: string,
  nowMs: number,
  limit: number,
): Promise<readonly DeliveryPlace[]> {
  const places = new Map<string, DeliveryPlace>();
  for (const sort of [oldestFirst, newestFirst]) {
    const stages = [
      { $match: { ...whileUndelivered, queue: { $eq: taskText('ready', authority) } } },
      { $sort: sort },
      { $limit: maxRead },
      { $match: { 'deliveries.dueMs': { $gt: nowMs } } },
      { $project: { deliveries: 1 } },
      { $limit: limit },
    ];
    const isAhead = ({ state, dueMs }: DeliveryDocument) => state === 'ready' && dueMs > nowMs;
    for (const document of await audit.aggregate<AuditDocument>(stages, { hint: 'by_queue' }).toArray()) {
      const place = placeOf(document, authority, isAhead);
      if (place !== undefined) places.set(document._id, place);
    }
  }
  return [...places.values()].slice(0, limit);
}

/** Finds those that were marked unmatched first, in the order of the index: sorting would read all of them. */
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
  const filter = { ...whileUndelivered, queue: { $elemMatch: range } };
  const found = await audit.find(filter, { projection: { deliveries: 1 }, hint: 'by_queue', limit }).toArray();
  return found.flatMap((document) => placeOf(document, authority) ?? []);
}
