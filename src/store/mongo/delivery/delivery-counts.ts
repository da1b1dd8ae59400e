/**
 * Counts the deliveries of each authority as they are committed and settled, because counting the AuditEvents of many years,
 * or a long backlog, would be slow. Each process writes its counts at most four times a second. If it is killed, the counts
 * miss the changes of its last quarter of a second. `recount-deliveries.ts` corrects those of undelivered ones; nothing but
 * metrics depends on the others.
 */
import type { AuditWrite } from '../../store.ts';
import type { Collections } from '../encoding/documents.ts';

/** Changes of the counts. `owed`: undelivered, neither parked nor unmatched. */
export type CountChange = Partial<Record<'owed' | 'parked' | 'delivered' | 'unwanted', number>>;

export interface DeliveryCounts {
  add(authority: string, change: CountChange): void;
  /** Counts what committed AuditEvents are to be delivered to. */
  addCommitted(audits: readonly Pick<AuditWrite, 'deliverTo'>[]): void;
  /** Writes the counts that are not written yet. */
  flush(): Promise<void>;
}

const flushAfterMs = 250;

export function openDeliveryCounts({ deliveryCount }: Pick<Collections, 'deliveryCount'>): DeliveryCounts {
  let open = new Map<string, Required<CountChange>>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();

  const write = async (): Promise<void> => {
    const counted = open;
    open = new Map();
    const outcomes = await Promise.allSettled(
      [...counted].map(async ([authority, count]) => {
        try {
          await deliveryCount.updateOne({ _id: { $eq: authority } }, { $inc: { ...count } }, { upsert: true });
        } catch (error) {
          add(authority, count);
          throw error;
        }
      }),
    );
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
  };

  const flush = (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    flushing = flushing.catch(() => undefined).then(write);
    return flushing;
  };

  function add(authority: string, { owed = 0, parked = 0, delivered = 0, unwanted = 0 }: CountChange): void {
    const count = open.get(authority) ?? { owed: 0, parked: 0, delivered: 0, unwanted: 0 };
    open.set(authority, {
      owed: count.owed + owed,
      parked: count.parked + parked,
      delivered: count.delivered + delivered,
      unwanted: count.unwanted + unwanted,
    });
    // After a failure the counts are kept for the next time.
    timer ??= setTimeout(() => void flush().catch(() => undefined), flushAfterMs).unref();
  }

  return {
    add,
    addCommitted(audits) {
      for (const { deliverTo } of audits) for (const authority of new Set(deliverTo)) add(authority, { owed: 1 });
    },
    flush,
  };
}
