/**
 * Decides when the writer thread works on the index: after a batch if a step is due, and on the rest while the store is idle.
 * It takes one step at a time, so that batches can run in between, unless the index is far behind.
 */
export interface IndexWork {
  /** Whether a step is due. */
  isDue(): boolean;
  /** Returns the number of AuditEvents without search keys. */
  unindexed(): number;
  /** Takes a step. Returns false if it failed or nothing can be written any more. */
  runStep(): boolean;
  /** Indexes a chunk of the rest, up to `upTo` or the last event. Returns the next `upTo`, or undefined if done or failed. */
  runIdleStep(upTo: number | undefined): number | undefined;
}

export interface IndexTimers {
  /** Returns milliseconds that never go backwards. */
  now(): number;
  /** Calls `run` after a delay. Returns a function that cancels it. */
  after(delayMs: number, run: () => void): () => void;
  /** Calls `run` in the next iteration of the event loop. Returns a function that cancels it. */
  soon(run: () => void): () => void;
}

export interface IndexScheduler {
  /** Call after the reply to a batch. */
  batchDone(): void;
  /** Cancels everything that is scheduled. */
  close(): void;
}

/** How long the store is idle before the rest is indexed. */
const idleMs = 500;
/** Number of AuditEvents without search keys above which several steps run before the next batch. */
const maxUnindexed = 49_152;
/** How long these steps may take together. */
const maxStepsMs = 100;

/** Throws only if the work throws. */
export function openIndexScheduler(work: IndexWork, timers: IndexTimers): IndexScheduler {
  let cancelStep: (() => void) | undefined;
  /** Set while the rest is scheduled or being indexed. */
  let cancelRest: (() => void) | undefined;
  let lastBatchMs = timers.now();
  /** Returns how long until the store counts as idle. */
  const leftMs = (): number => lastBatchMs + idleMs - timers.now();

  const schedule = (): void => {
    if (work.isDue()) cancelStep ??= timers.soon(step);
    if (cancelRest === undefined && work.unindexed() > 0) waitForRest(idleMs);
  };

  const waitForRest = (delayMs: number): void => {
    cancelRest = timers.after(delayMs, () => {
      if (leftMs() > 0) waitForRest(leftMs());
      else rest(undefined);
    });
  };

  const step = (): void => {
    cancelStep = undefined;
    const endMs = timers.now() + maxStepsMs;
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
    // A batch interrupted it, new events arrived, or it failed.
    if (work.unindexed() > 0) waitForRest(idleMs);
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
