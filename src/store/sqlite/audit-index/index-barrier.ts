/**
 * Lets searches of AuditEvents wait until everything committed before them is indexed. However many wait, one chunk of the
 * index is requested at a time, so that batches can run in between.
 */
export interface IndexBarrier {
  /** Call after committing an AuditEvent. */
  markPending(): void;
  /** Resolves when every AuditEvent committed before the call has its search keys. Rejects as `indexNext` does. */
  flush(): Promise<void>;
}

export interface IndexProgress {
  /** Sequence number of the last committed AuditEvent. */
  readonly committed: number;
  /** Sequence number up to which AuditEvents have their search keys. */
  readonly indexed: number;
}

interface Waiter {
  /** Undefined until a chunk requested after the waiter arrived is done. */
  upTo: number | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** `indexNext` indexes one chunk, up to `upTo` or the last committed AuditEvent. */
export function openIndexBarrier(indexNext: (upTo: number | undefined) => Promise<IndexProgress>): IndexBarrier {
  /** Pending at the start, because the index of the file may be incomplete. */
  let isPending = true;
  let waiters: Waiter[] = [];
  let isWorking = false;

  const runOnce = async (): Promise<void> => {
    const present = [...waiters];
    const known = present.flatMap(({ upTo }) => upTo ?? []);
    const { committed, indexed } = await indexNext(known.length === present.length ? Math.max(...known) : undefined);
    for (const waiter of present) waiter.upTo ??= committed;
    const isDone = ({ upTo }: Waiter): boolean => upTo !== undefined && upTo <= indexed;
    for (const waiter of waiters.filter(isDone)) waiter.resolve();
    waiters = waiters.filter((waiter) => !isDone(waiter));
  };

  const work = async (): Promise<void> => {
    isWorking = true;
    try {
      while (waiters.length > 0) await runOnce();
    } catch (error) {
      isPending = true;
      for (const { reject } of waiters.splice(0)) reject(error);
    } finally {
      isWorking = false;
    }
  };

  return {
    markPending() {
      isPending = true;
    },
    flush() {
      if (!isPending && waiters.length === 0) return Promise.resolve();
      isPending = false;
      return new Promise((resolve, reject) => {
        waiters.push({ upTo: undefined, resolve, reject });
        if (!isWorking) void work();
      });
    },
  };
}
