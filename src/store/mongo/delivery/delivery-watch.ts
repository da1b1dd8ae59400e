/** Tells which authorities may have something to be claimed: what other servers have committed, and what they let lapse. */
import type { ChangeStream } from 'mongodb';
import type { AuditDocument, Collections } from '../encoding/documents.ts';
import { readClaimable } from './read-backlog.ts';

export interface DeliveryWatchOptions {
  readonly collections: Collections;
  /** The clock of the database, epoch milliseconds. */
  readonly nowMs: () => number;
  readonly timeLimitMs: number;
  readonly onError: (error: unknown) => void;
}

/** How often deliveries are looked for that became due again or lost their lease: no change stream reports those. */
const pollMs = 5_000;
const reopenAfterMs = 1_000;

/** Calls `wake` until the returned function is called. Looking never takes more than a tenth of the time. */
export function watchDeliveries(options: DeliveryWatchOptions, wake: (authority: string) => void): () => Promise<void> {
  const { collections, nowMs, timeLimitMs, onError } = options;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();
  let stream: ChangeStream<AuditDocument> | undefined;

  const look = async (): Promise<void> => {
    const startedMs = performance.now();
    try {
      for (const authority of await readClaimable(collections, nowMs(), timeLimitMs)) if (!stopped) wake(authority);
    } catch (error) {
      if (!stopped) onError(error);
    }
    const tookMs = performance.now() - startedMs;
    schedule(Math.max(pollMs, 10 * tookMs));
  };

  function schedule(afterMs: number): void {
    if (stopped) return;
    timer = setTimeout(() => {
      looking = look();
    }, afterMs).unref();
  }

  const follow = async (): Promise<void> => {
    while (!stopped) {
      try {
        const inserts = [{ $match: { operationType: 'insert', 'fullDocument.undelivered': { $gt: 0 } } }];
        const only = { $project: { 'fullDocument.deliveries.authority': 1, operationType: 1 } };
        stream = collections.audit.watch<AuditDocument>([...inserts, only]);
        for await (const change of stream) {
          if (change.operationType !== 'insert') continue;
          for (const { authority } of change.fullDocument.deliveries) wake(authority);
        }
      } catch (error) {
        if (!stopped) onError(error);
      }
      // What was missed in between is found by the next look.
      if (!stopped) await new Promise((resolve) => setTimeout(resolve, reopenAfterMs).unref());
    }
  };

  schedule(0);
  const following = follow();
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await stream?.close().catch(() => undefined);
    await Promise.all([looking, Promise.race([following, new Promise((resolve) => setTimeout(resolve, 100))])]);
  };
}
