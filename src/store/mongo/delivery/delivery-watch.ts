/** Wakes the authorities for which other servers have committed deliveries or let leases expire. */
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

/** Polling interval for deliveries that are due again or whose lease expired: a change stream does not report those. */
const pollMs = 5_000;
const reopenAfterMs = 1_000;

/** Calls `wake` until the returned function is called. Polling takes at most a tenth of the time. */
export function watchDeliveries(options: DeliveryWatchOptions, wake: (authority: string) => void): () => Promise<void> {
  const { collections, nowMs, timeLimitMs, onError } = options;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let polling: Promise<void> = Promise.resolve();
  let stream: ChangeStream<AuditDocument> | undefined;

  const poll = async (): Promise<void> => {
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
      polling = poll();
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
      // The next poll finds what was missed meanwhile.
      if (!stopped) await new Promise((resolve) => setTimeout(resolve, reopenAfterMs).unref());
    }
  };

  schedule(0);
  const following = follow();
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await stream?.close().catch(() => undefined);
    await Promise.all([polling, Promise.race([following, new Promise((resolve) => setTimeout(resolve, 100))])]);
  };
}
