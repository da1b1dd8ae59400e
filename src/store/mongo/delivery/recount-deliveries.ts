/** Corrects the counts of undelivered deliveries in the background. They drift if a server is killed before it writes them. */
import type { Document } from 'mongodb';
import { after, oldestFirst, tallyText } from '../encoding/delivery-place.ts';
import type { AuditDocument, Collections, DeliveryCountDocument } from '../encoding/documents.ts';
import { whileUndelivered } from './queue-index.ts';

/** The undelivered deliveries of an authority that the index has, counted up to a limit. */
export interface SeenCounts {
  readonly authority: string;
  readonly owed: number;
  readonly parked: number;
  /** Whether the limit ended the count of either. */
  readonly isCut: boolean;
  /** The written counts; undefined if there are none. */
  readonly row: DeliveryCountDocument | undefined;
}

export interface DeliveryRecount {
  /** Starts to correct the counts that need it, unless that is running. */
  correct(seen: readonly SeenCounts[]): void;
  /** Ends it after the current step. */
  stop(): Promise<void>;
}

export interface RecountOptions {
  readonly collections: Pick<Collections, 'audit' | 'deliveryCount'>;
  /** The clock of the database, epoch milliseconds. */
  readonly nowMs: () => number;
  readonly timeLimitMs: number;
  readonly onError: (error: unknown) => void;
}

/** Smaller differences are ignored: other servers have not yet written their latest changes. */
const toleratedDrift = 20;
/** How long the counts of a long backlog are used before the next recount. */
const recountEveryMs = 3_600_000;
/** Maximum number of deliveries that one query counts. */
const stepDeliveries = 10_000;

export function openDeliveryRecount(options: RecountOptions): DeliveryRecount {
  const { collections, nowMs, timeLimitMs, onError } = options;
  const { audit, deliveryCount } = collections;
  let stopped = false;
  let running: Promise<void> | undefined;

  function isNeeded({ row, isCut, owed, parked }: SeenCounts): boolean {
    if (isCut) return (row?.recountedMs ?? 0) < nowMs() - recountEveryMs;
    return Math.abs((row?.owed ?? 0) - owed) + Math.abs((row?.parked ?? 0) - parked) > toleratedDrift;
  }

  /** Returns undefined if it is stopped. */
  async function countAll(key: string): Promise<number | undefined> {
    const all = { ...whileUndelivered, queue: { $eq: key } };
    const limits = { hint: 'by_queue', maxTimeMS: timeLimitMs } as const;
    let counted = 0;
    let page: Document = all;
    while (!stopped) {
      const options = { projection: { recordedMs: 1, seq: 1 }, sort: oldestFirst, skip: stepDeliveries - 1, ...limits };
      const last: AuditDocument | null = await audit.findOne(page, options);
      if (last === null) return counted + (await audit.countDocuments(page, { ...limits, limit: stepDeliveries }));
      counted += stepDeliveries;
      page = { $and: [all, after(last)] };
    }
    return undefined;
  }

  async function recount({ authority, isCut, ...seen }: SeenCounts): Promise<void> {
    const owed = isCut ? await countAll(tallyText('owed', authority)) : seen.owed;
    const parked = isCut ? await countAll(tallyText('parked', authority)) : seen.parked;
    if (owed === undefined || parked === undefined) return;
    const change = { $set: { owed, parked, ...(isCut ? { recountedMs: nowMs() } : {}) } };
    await deliveryCount.updateOne({ _id: { $eq: authority } }, change, { upsert: true });
  }

  return {
    correct(seen) {
      const needed = seen.filter(isNeeded);
      if (stopped || running !== undefined || needed.length === 0) return;
      running = (async () => {
        for (const each of needed) if (!stopped) await recount(each);
      })()
        .catch((error: unknown) => {
          if (!stopped) onError(error);
        })
        .finally(() => {
          running = undefined;
        });
    },
    async stop() {
      stopped = true;
      await running;
    },
  };
}
