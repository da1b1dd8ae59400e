/**
 * Seeks in `by_queue`, the index of undelivered deliveries. Each query reads a fixed number of entries at most, however long
 * the backlog is, and has its own time limit.
 */
import type { Document } from 'mongodb';
import { authorityOf, oldestFirst, type Tally, tallyText, taskText } from '../encoding/delivery-place.ts';
import type { AuditDocument, Collections, DeliveryDocument } from '../encoding/documents.ts';
import { startingWith } from '../encoding/key-text.ts';

export interface QueueIndex {
  /** Returns the authorities that are owed something, or have been counted: `known`, and those that it lacks. */
  listAuthorities(known: Iterable<string>): Promise<readonly string[]>;
  /** Returns whether the authority has an undelivered delivery, parked or not. */
  isOwed(authority: string): Promise<boolean>;
  /** Returns the oldest AuditEvent with a delivery under the key, and that delivery. */
  oldest(key: string, authority: string): Promise<OldestDelivery | undefined>;
  /** Returns the earliest end of a back-off or lease of the authority, by the clock of the database. */
  nextMs(state: 'waiting' | 'leased', authority: string): Promise<number | undefined>;
  /** Counts the deliveries with this key, or the keys with this prefix, and stops at `limit`. */
  count(key: string | { readonly prefix: string }, limit: number): Promise<number>;
}

interface OldestDelivery {
  readonly recordedMs: number;
  readonly dueMs: number;
}

/** The filter that lets a query use the partial index. */
export const whileUndelivered = { undelivered: { $gt: 0 } } as const;

/** Opens the seeks. `timeLimitMs` is the limit of each of them. */
export function openQueueIndex({ audit }: Pick<Collections, 'audit'>, timeLimitMs: number): QueueIndex {
  const options = { hint: 'by_queue', maxTimeMS: timeLimitMs } as const;
  const findOne = (queue: Document, more: Document = {}): Promise<AuditDocument | null> =>
    audit.findOne({ ...whileUndelivered, queue }, { ...options, projection: { queue: 1, deliveries: 1 }, ...more });

  /** Adds the authorities of a tally that are not in the set. The index jumps over those that are. */
  async function addMissing(authorities: Set<string>, tally: Tally): Promise<void> {
    const prefix = tallyText(tally, '');
    while (true) {
      const known = [...authorities].map((authority) => tallyText(tally, authority));
      const found = await findOne({ $elemMatch: { ...startingWith(prefix), $nin: known } });
      if (found === null) return;
      for (const key of found.queue) if (key.startsWith(prefix)) authorities.add(authorityOf(key));
    }
  }

  return {
    async listAuthorities(known) {
      const authorities = new Set(known);
      await addMissing(authorities, 'owed');
      await addMissing(authorities, 'parked');
      return [...authorities].sort();
    },
    async isOwed(authority) {
      const tallies = [tallyText('owed', authority), tallyText('parked', authority)];
      return (await findOne({ $in: tallies }, { projection: { _id: 1 } })) !== null;
    },
    async oldest(key, authority) {
      const found = await findOne(
        { $eq: key },
        { sort: oldestFirst, projection: { recordedMs: 1, queue: 1, deliveries: 1 } },
      );
      const own = found?.deliveries.find((delivery) => delivery.authority === authority);
      return found === null || own === undefined ? undefined : { recordedMs: found.recordedMs, dueMs: own.dueMs };
    },
    async nextMs(state, authority) {
      const prefix = taskText(state, authority);
      let range: { readonly $gte: string; readonly $lt?: string } = startingWith(prefix);
      let earliest: DeliveryDocument | undefined;
      // Of several shards, any may answer first. An earlier delivery is looked for until there is none.
      while (true) {
        const found = await findOne({ $elemMatch: range });
        const position = found?.deliveries.findIndex((delivery) => delivery.authority === authority) ?? -1;
        const key = found?.queue[2 * position];
        if (found === null || key === undefined) return earliest?.waitUntilMs;
        earliest = found.deliveries[position];
        range = { $gte: prefix, $lt: key };
      }
    },
    count(key, limit) {
      const queue = typeof key === 'string' ? { $eq: key } : { $elemMatch: startingWith(key.prefix) };
      return audit.countDocuments({ ...whileUndelivered, queue }, { ...options, limit });
    },
  };
}
