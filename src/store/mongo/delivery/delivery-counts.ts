/**
 * Counts the delivered and unmatched deliveries of each authority as they are settled, because counting the AuditEvents of
 * many years would be slow. Each process writes its counts at most four times a second. If it is killed, the metrics may
 * miss the deliveries of its last quarter of a second; nothing else depends on them.
 */
import type { Collections } from '../encoding/documents.ts';

export interface DeliveryCounts {
  add(authority: string, delivered: number, unwanted: number): void;
  /** Writes the counts that are not written yet. */
  flush(): Promise<void>;
}

const flushAfterMs = 250;

export function openDeliveryCounts({ deliveryCount }: Pick<Collections, 'deliveryCount'>): DeliveryCounts {
  let open = new Map<string, { delivered: number; unwanted: number }>();
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<void> = Promise.resolve();

  const write = async (): Promise<void> => {
    const counted = open;
    open = new Map();
    const outcomes = await Promise.allSettled(
      [...counted].map(async ([authority, count]) => {
        const change = { $inc: { ...count } };
        try {
          await deliveryCount.updateOne({ _id: { $eq: authority } }, change, { upsert: true });
        } catch (error) {
          add(authority, count.delivered, count.unwanted);
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

  function add(authority: string, delivered: number, unwanted: number): void {
    if (delivered === 0 && unwanted === 0) return;
    const count = open.get(authority) ?? { delivered: 0, unwanted: 0 };
    open.set(authority, { delivered: count.delivered + delivered, unwanted: count.unwanted + unwanted });
    // After a failure the counts are kept for the next time.
    timer ??= setTimeout(() => void flush().catch(() => undefined), flushAfterMs).unref();
  }

  return { add, flush };
}
