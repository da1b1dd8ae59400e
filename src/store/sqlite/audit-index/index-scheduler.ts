/**
 * When the writing thread works on the index: after a batch where it is due, and on the rest while no batch comes; a part at
 * a time, so that batches go in between, unless the index is far behind.
 */
export interface IndexWork {
  /** Whether a part is worth it now. */
  isDue(): boolean;
  /** AuditEvents without search keys. */
  unindexed(): number;
  /** Does a part of what is due; false: it failed, or nothing can be written any more. */
  runStep(): boolean;
  /** Does a part of the rest, up to an event or up to the last. Gives what to ask for next; undefined: no more now. */
  runIdleStep(upTo: number | undefined): number | undefined;
}

export interface IndexTimers {
  /** Milliseconds that never go backwards. */
  now(): number;
  /** Calls after so long; the function it gives takes that back. */
  after(delayMs: number, run: () => void): () => void;
  /** Calls in the next turn of the event loop. */
  soon(run: () => void): () => void;
}

export interface IndexScheduler {
  /** A batch has been answered. */
  batchDone(): void;
  /** Nothing is called after it. */
  close(): void;
}

/** Without a batch for so long the rest is indexed. */
const restAfterMs = 500;
/** Above so many AuditEvents without search keys several parts go before the next batch, */
const maxUnindexed = 49_152;
/** for so long. */
const mostMs = 100;

/** Never throws unless its work does. */
export function openIndexScheduler(work: IndexWork, timers: IndexTimers): IndexScheduler {
  let cancelStep: (() => void) | undefined;
  /** While the rest is being indexed, and before that, while it is waited for. */
  let cancelRest: (() => void) | undefined;
  let lastBatchMs = timers.now();
  /** Until no batch has come for long enough. */
  const leftMs = (): number => lastBatchMs + restAfterMs - timers.now();

  const schedule = (): void => {
    if (work.isDue()) cancelStep ??= timers.soon(step);
    if (cancelRest === undefined && work.unindexed() > 0) waitForRest(restAfterMs);
  };

  const waitForRest = (delayMs: number): void => {
    cancelRest = timers.after(delayMs, () => {
      if (leftMs() > 0) waitForRest(leftMs());
      else rest(undefined);
    });
  };

  const step = (): void => {
    cancelStep = undefined;
    const endMs = timers.now() + mostMs;
    let done: boolean;
    do done = work.runStep();
    while (done && work.unindexed() > maxUnindexed && work.isDue() && timers.now() < endMs);
    if (done) schedule();
  };

  const rest = (upTo: number | undefined): void => {
    const next = work.runIdleStep(upTo);
    if (next !== undefined && leftMs() <= 0) {
      cancelRest = timers.soon(() => rest(next));
      return;
    }
    cancelRest = undefined;
    // What a batch has put off, what came meanwhile, or what failed.
    if (work.unindexed() > 0) waitForRest(restAfterMs);
  };

  return {
    batchDone() {
      lastBatchMs = timers.now();
      schedule();
    },
    close() {
      cancelStep?.();
      cancelRest?.();
    },
  };
}
