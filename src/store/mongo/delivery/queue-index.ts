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

/** The part of an AuditEvent that is read. */
interface Entry extends Pick<AuditDocument, 'recordedMs' | 'queue'> {
  readonly deliveries: readonly Pick<DeliveryDocument, 'authority' | 'dueMs' | 'waitUntilMs'>[];
}

interface OldestDelivery {
  readonly recordedMs: number;
  readonly dueMs: number;
}

/** The filter that lets a query use the partial index. */
export const whileUndelivered = { undelivered: { $gt: 0 } } as const;

/** Maximum number of questions in one command. */
const maxTogether = 100;

interface Question {
  readonly stages: readonly Document[];
  readonly resolve: (answer: Document | undefined) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Opens the seeks. `timeLimitMs` is the limit of each command. Questions that are asked together go to the database in one
 * command, because there are several for each authority.
 */
export function openQueueIndex({ audit }: Pick<Collections, 'audit'>, timeLimitMs: number): QueueIndex {
  let waiting: Question[] = [];

  /** Asks for the only document that the stages produce, if any. */
  function ask(queue: Document, ...stages: readonly Document[]): Promise<Document | undefined> {
    return new Promise((resolve, reject) => {
      if (waiting.length === 0) setImmediate(sendAll);
      waiting.push({ stages: [{ $match: { ...whileUndelivered, queue } }, ...stages], resolve, reject });
    });
  }

  function sendAll(): void {
    const questions = waiting;
    waiting = [];
    for (let first = 0; first < questions.length; first += maxTogether) {
      const group = questions.slice(first, first + maxTogether);
      void send(group).catch((error: unknown) => {
        for (const { reject } of group) reject(error);
      });
    }
  }

  async function send(group: readonly Question[]): Promise<void> {
    const [own = [], ...others] = group.map(({ stages }, index) => [...stages, { $addFields: { index } }]);
    const unions = others.map((pipeline) => ({ $unionWith: { coll: audit.collectionName, pipeline } }));
    const options = { hint: 'by_queue', maxTimeMS: timeLimitMs } as const;
    const answers = await audit.aggregate([...own, ...unions], options).toArray();
    const byIndex = new Map(answers.map((answer) => [Number(answer['index']), answer]));
    for (const [index, { resolve }] of group.entries()) resolve(byIndex.get(index));
  }

  const one = { $limit: 1 };
  const entry = {
    $project: { _id: 0, recordedMs: 1, queue: 1, deliveries: { authority: 1, dueMs: 1, waitUntilMs: 1 } },
  };
  const askEntry = async (queue: Document, ...stages: readonly Document[]): Promise<Entry | undefined> => {
    return (await ask(queue, ...stages, one, entry)) as Entry | undefined;
  };

  /** Adds the authorities of a tally that are not in the set. The index jumps over those that are. */
  async function addMissing(authorities: Set<string>, tally: Tally): Promise<void> {
    const prefix = tallyText(tally, '');
    while (true) {
      const known = [...authorities].map((authority) => tallyText(tally, authority));
      const found = await askEntry({ $elemMatch: { ...startingWith(prefix), $nin: known } });
      if (found === undefined) return;
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
      return (await askEntry({ $in: tallies })) !== undefined;
    },
    async oldest(key, authority) {
      const found = await askEntry({ $eq: key }, { $sort: oldestFirst });
      const own = found?.deliveries.find((delivery) => delivery.authority === authority);
      return found === undefined || own === undefined ? undefined : { recordedMs: found.recordedMs, dueMs: own.dueMs };
    },
    async nextMs(state, authority) {
      const prefix = taskText(state, authority);
      let range: { readonly $gte: string; readonly $lt?: string } = startingWith(prefix);
      let earliest: number | undefined;
      // Of several shards, any may answer first. An earlier delivery is looked for until there is none.
      while (true) {
        const found = await askEntry({ $elemMatch: range });
        const position = found?.deliveries.findIndex((delivery) => delivery.authority === authority) ?? -1;
        const key = found?.queue[2 * position];
        if (found === undefined || key === undefined) return earliest;
        earliest = found.deliveries[position]?.waitUntilMs;
        range = { $gte: prefix, $lt: key };
      }
    },
    async count(key, limit) {
      const queue = typeof key === 'string' ? { $eq: key } : { $elemMatch: startingWith(key.prefix) };
      const counted = await ask(queue, { $limit: limit }, { $count: 'entries' });
      return Number(counted?.['entries'] ?? 0);
    },
  };
}
