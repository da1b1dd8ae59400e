/**
 * Lets searches of AuditEvents wait until what was committed before them can be found. However many wait, one part of the
 * index is asked for at a time: batches come in between.
 */
export interface IndexBarrier {
  /** An AuditEvent has been committed. */
  markPending(): void;
  /** Resolves when every AuditEvent that was committed before has its search keys. Throws as `ask` does. */
  flush(): Promise<void>;
}

export interface IndexProgress {
  /** The sequence number up to which AuditEvents are committed. */
  readonly committed: number;
  /** And up to which they have their search keys. */
  readonly indexed: number;
}

interface Waiter {
  /** Unknown until a part has been asked for since it came, and done. */
  upTo: number | undefined;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** `ask` does one part of the index up to an event, or up to the last that is committed. */
export function openIndexBarrier(ask: (upTo: number | undefined) => Promise<IndexProgress>): IndexBarrier {
  /** At the start nobody knows whether the index of the file could be made whole. */
  let isPending = true;
  let waiters: Waiter[] = [];
  let isWorking = false;

  const askOnce = async (): Promise<void> => {
    const asking = [...waiters];
    const known = asking.flatMap(({ upTo }) => upTo ?? []);
    const { committed, indexed } = await ask(known.length === asking.length ? Math.max(...known) : undefined);
    for (const waiter of asking) waiter.upTo ??= committed;
    const isDone = ({ upTo }: Waiter): boolean => upTo !== undefined && upTo <= indexed;
    for (const waiter of waiters.filter(isDone)) waiter.resolve();
    waiters = waiters.filter((waiter) => !isDone(waiter));
  };

  const work = async (): Promise<void> => {
    isWorking = true;
    try {
      while (waiters.length > 0) await askOnce();
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
