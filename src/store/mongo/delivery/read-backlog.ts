/** Reads what is undelivered. Only AuditEvents with undelivered deliveries are read. */
import type { DeliveryBacklog, OwedDelivery } from '../../store.ts';
import type { ServerClock } from '../connection/server-clock.ts';
import { authorityOf, after as following, oldestFirst, tallyText, taskText } from '../encoding/delivery-place.ts';
import type { AuditDocument, Collections, DeliveryDocument } from '../encoding/documents.ts';
import { startingWith } from '../encoding/key-text.ts';

type Audits = Pick<Collections, 'audit'>;

/** Returns one row for each authority that has ever had a delivery. */
export async function readBacklog(
  { audit, deliveryCount }: Collections,
  clock: ServerClock,
  timeLimitMs: number,
): Promise<readonly DeliveryBacklog[]> {
  const [entries, timed, countRows] = await Promise.all([
    countEntries({ audit }, ['owed', 'parked', 'ready'], timeLimitMs),
    readTimed({ audit }, timeLimitMs),
    deliveryCount.find({}, { maxTimeMS: timeLimitMs }).toArray(),
  ]);
  const counts = new Map(countRows.map((row) => [row._id, row]));
  const countOf = (text: string): number => entries.get(text) ?? 0;
  const owedTo = [...entries.keys()].map(authorityOf);
  const authorities = [...new Set([...owedTo, ...counts.keys()])].sort();
  const rows = authorities.map(async (authority): Promise<DeliveryBacklog> => {
    const [owed, parked] = [tallyText('owed', authority), tallyText('parked', authority)];
    const ready = taskText('ready', authority);
    const oldest = (text: string) => (countOf(text) === 0 ? null : findOldestOf({ audit }, text, timeLimitMs));
    const [oldestOwed, oldestParked, oldestReady] = await Promise.all([owed, parked, ready].map(oldest));
    const waits = timed.get(authority);
    const dueMs = Math.min(waits?.nextMs ?? Infinity, deliveryOf(oldestReady, authority)?.dueMs ?? Infinity);
    const count = counts.get(authority);
    return {
      authority,
      undelivered: countOf(owed) + countOf(parked),
      leased: waits?.leased ?? 0,
      parked: countOf(parked),
      unmatched: count?.unwanted ?? 0,
      oldestRecordedMs: oldestOwed?.recordedMs,
      oldestParkedMs: oldestParked?.recordedMs,
      nextDueMs: dueMs === Infinity ? undefined : clock.toLocal(dueMs),
      delivered: count?.delivered ?? 0,
    };
  });
  return Promise.all(rows);
}

/** Returns the undelivered events of an authority after `after`, oldest first. */
export async function readOwed(
  { audit }: Audits,
  authority: string,
  limit: number,
  after: OwedDelivery | undefined,
): Promise<readonly OwedDelivery[]> {
  const owed = [tallyText('owed', authority), tallyText('parked', authority)];
  const filter = { undelivered: { $gt: 0 }, queue: { $in: owed } };
  const last = after === undefined ? null : await audit.findOne({ _id: { $eq: after.auditId } });
  const { recordedMs = 0 } = after ?? {};
  const page = after === undefined ? filter : { $and: [filter, following({ recordedMs, seq: last?.seq ?? '' })] };
  const options = { projection: { recordedMs: 1 }, sort: oldestFirst, limit } as const;
  const found = await audit.find(page, options).toArray();
  return found.map((document) => ({ auditId: document._id, recordedMs: document.recordedMs }));
}

/** Returns the authorities with a delivery that can be claimed now, by the clock of the database. */
export async function readClaimable({ audit }: Audits, nowMs: number, timeLimitMs: number): Promise<readonly string[]> {
  const [ready, timed] = await Promise.all([
    countEntries({ audit }, ['ready'], timeLimitMs),
    readTimed({ audit }, timeLimitMs),
  ]);
  const claimable = new Set([...timed].flatMap(([authority, { nextMs }]) => (nextMs <= nowMs ? [authority] : [])));
  await Promise.all(
    [...ready.keys()].map(async (text) => {
      const authority = authorityOf(text);
      const oldest = await findOldestOf({ audit }, text, timeLimitMs);
      if ((deliveryOf(oldest, authority)?.dueMs ?? Infinity) <= nowMs) claimable.add(authority);
    }),
  );
  return [...claimable];
}

/** Counts the queue keys that start with these words. */
async function countEntries(
  { audit }: Audits,
  words: readonly ('owed' | 'parked' | 'ready')[],
  timeLimitMs: number,
): Promise<ReadonlyMap<string, number>> {
  const ranges = words.map((word) => startingWith(`${word}|`));
  const stages = [
    { $match: { undelivered: { $gt: 0 }, $or: ranges.map((range) => ({ queue: { $elemMatch: range } })) } },
    { $project: { queue: 1 } },
    { $unwind: '$queue' },
    { $match: { $or: ranges.map((range) => ({ queue: range })) } },
    { $group: { _id: '$queue', entries: { $sum: 1 } } },
  ];
  const rows = await audit.aggregate<{ _id: string; entries: number }>(stages, { maxTimeMS: timeLimitMs }).toArray();
  return new Map(rows.map(({ _id, entries }) => [_id, entries]));
}

interface Timed {
  leased: number;
  /** The earliest end of a back-off or lease. */
  nextMs: number;
}

/**
 * Reads the deliveries that are backing off or leased, by authority. There are few of them: while an endpoint is down, a
 * longer backlog does not lead to more attempts.
 */
async function readTimed({ audit }: Audits, timeLimitMs: number): Promise<ReadonlyMap<string, Timed>> {
  const ranges = ['leased|', 'waiting|'].map((word) => ({ queue: { $elemMatch: startingWith(word) } }));
  const fields = { 'deliveries.authority': 1, 'deliveries.state': 1, 'deliveries.waitUntilMs': 1 };
  const options = { projection: fields, maxTimeMS: timeLimitMs, batchSize: 1_000 };
  const timed = new Map<string, Timed>();
  for await (const { deliveries } of audit.find({ undelivered: { $gt: 0 }, $or: ranges }, options)) {
    for (const { authority, state, waitUntilMs } of deliveries) {
      if (state !== 'leased' && state !== 'waiting') continue;
      const { leased, nextMs } = timed.get(authority) ?? { leased: 0, nextMs: Infinity };
      timed.set(authority, {
        leased: state === 'leased' ? leased + 1 : leased,
        nextMs: Math.min(nextMs, waitUntilMs),
      });
    }
  }
  return timed;
}

function findOldestOf({ audit }: Audits, text: string, timeLimitMs: number): Promise<AuditDocument | null> {
  const options = { projection: { recordedMs: 1, deliveries: 1 }, sort: oldestFirst, maxTimeMS: timeLimitMs } as const;
  return audit.findOne({ undelivered: { $gt: 0 }, queue: { $eq: text } }, options);
}

function deliveryOf(document: AuditDocument | null | undefined, authority: string): DeliveryDocument | undefined {
  return document?.deliveries.find((delivery) => delivery.authority === authority);
}
