/** Reads what is undelivered, at a cost that does not depend on how much it is; ADR 0042. */
import type { DeliveryBacklog, OwedDelivery } from '../../store.ts';
import type { ServerClock } from '../connection/server-clock.ts';
import { after as following, oldestFirst, tallyText, taskText } from '../encoding/delivery-place.ts';
import type { Collections, DeliveryCountDocument } from '../encoding/documents.ts';
import { openQueueIndex, type QueueIndex, whileUndelivered } from './queue-index.ts';
import type { SeenCounts } from './recount-deliveries.ts';

/** Up to this number, undelivered and parked deliveries of an authority are counted in the index, and exact. */
export const maxCounted = 200;
/** Leases are few: each server holds those of the notifications that it is sending. More are reported as this number. */
const maxLeased = 2_000;

/** Returns one row for each authority that has ever had a delivery, and the counts that the index has. */
export async function readBacklog(
  collections: Pick<Collections, 'audit' | 'deliveryCount'>,
  clock: Pick<ServerClock, 'toLocal'>,
  timeLimitMs: number,
): Promise<{ readonly backlog: readonly DeliveryBacklog[]; readonly seen: readonly SeenCounts[] }> {
  const queue = openQueueIndex(collections, timeLimitMs);
  const rows = await readCounts(collections, timeLimitMs);
  const authorities = await queue.listAuthorities(rows.keys());
  const read = await Promise.all(authorities.map((authority) => readAuthority(queue, authority, rows.get(authority))));
  const backlog = read.map(({ row }) => {
    const { nextDueMs } = row;
    return { ...row, nextDueMs: nextDueMs === undefined ? undefined : clock.toLocal(nextDueMs) };
  });
  return { backlog, seen: read.map(({ seen }) => seen) };
}

async function readCounts(
  { deliveryCount }: Pick<Collections, 'deliveryCount'>,
  timeLimitMs: number,
): Promise<ReadonlyMap<string, DeliveryCountDocument>> {
  const rows = await deliveryCount.find({}, { maxTimeMS: timeLimitMs }).toArray();
  return new Map(rows.map((row) => [row._id, row]));
}

async function readAuthority(
  queue: QueueIndex,
  authority: string,
  counts: DeliveryCountDocument | undefined,
): Promise<{ readonly row: DeliveryBacklog; readonly seen: SeenCounts }> {
  const [owedKey, parkedKey] = [tallyText('owed', authority), tallyText('parked', authority)];
  const [oldest, oldestParked, oldestUnmatched] = await Promise.all([
    queue.oldest(owedKey, authority),
    queue.oldest(parkedKey, authority),
    queue.oldest(tallyText('unwanted', authority), authority),
  ]);
  const ifAny = async <T>(isAny: boolean, ask: () => Promise<T>, otherwise: T): Promise<T> =>
    isAny ? ask() : otherwise;
  const isOwed = oldest !== undefined || oldestParked !== undefined;
  const [owed, parked, leased, nextDueMs] = await Promise.all([
    ifAny(oldest !== undefined, () => queue.count(owedKey, maxCounted), 0),
    ifAny(oldestParked !== undefined, () => queue.count(parkedKey, maxCounted), 0),
    ifAny(isOwed, () => queue.count({ prefix: taskText('leased', authority) }, maxLeased), 0),
    ifAny(isOwed, () => readNextDue(queue, authority), undefined),
  ]);
  const parkedCount = atLeast(parked, counts?.parked);
  return {
    row: {
      authority,
      undelivered: atLeast(owed, counts?.owed) + parkedCount,
      leased,
      parked: parkedCount,
      unmatched: counts?.unwanted ?? 0,
      oldestRecordedMs: oldest?.recordedMs,
      oldestParkedMs: oldestParked?.recordedMs,
      oldestUnmatchedMs: oldestUnmatched?.recordedMs,
      nextDueMs,
      delivered: counts?.delivered ?? 0,
    },
    seen: { authority, owed, parked, isCut: owed === maxCounted || parked === maxCounted, row: counts },
  };
}

/** Returns what the index has, or the written count if there is more than was counted. */
function atLeast(seen: number, written = 0): number {
  return seen < maxCounted ? seen : Math.max(seen, written);
}

/** Returns when the next delivery can be claimed, by the clock of the database. */
async function readNextDue(queue: QueueIndex, authority: string): Promise<number | undefined> {
  const [ready, ...timed] = await Promise.all([
    queue.oldest(taskText('ready', authority), authority),
    queue.nextMs('waiting', authority),
    queue.nextMs('leased', authority),
  ]);
  const times = [ready?.dueMs, ...timed].filter((ms) => ms !== undefined);
  return times.length === 0 ? undefined : Math.min(...times);
}

/** Returns the authorities with a delivery that can be claimed now, by the clock of the database. */
export async function readClaimable(
  collections: Pick<Collections, 'audit' | 'deliveryCount'>,
  nowMs: number,
  timeLimitMs: number,
): Promise<readonly string[]> {
  const queue = openQueueIndex(collections, timeLimitMs);
  const authorities = await queue.listAuthorities((await readCounts(collections, timeLimitMs)).keys());
  const claimable = await Promise.all(
    authorities.map(async (authority) => {
      if (!(await queue.isOwed(authority))) return [];
      return ((await readNextDue(queue, authority)) ?? Infinity) <= nowMs ? [authority] : [];
    }),
  );
  return claimable.flat();
}

/** Returns the undelivered events of an authority after `after`, oldest first. */
export async function readOwed(
  { audit }: Pick<Collections, 'audit'>,
  authority: string,
  limit: number,
  after: OwedDelivery | undefined,
): Promise<readonly OwedDelivery[]> {
  const filter = {
    ...whileUndelivered,
    queue: { $in: [tallyText('owed', authority), tallyText('parked', authority)] },
  };
  const last =
    after === undefined ? null : await audit.findOne({ _id: { $eq: after.auditId } }, { projection: { seq: 1 } });
  const { recordedMs = 0 } = after ?? {};
  const page = after === undefined ? filter : { $and: [filter, following({ recordedMs, seq: last?.seq ?? '' })] };
  const options = { projection: { recordedMs: 1 }, sort: oldestFirst, limit } as const;
  const found = await audit.find(page, options).toArray();
  return found.map((document) => ({ auditId: document._id, recordedMs: document.recordedMs }));
}
