/** Work that is written for many AuditEvents at once, some time after their commit. */
export interface DeferredWork {
  /** Call after committing an AuditEvent that needs the work. */
  markPending(): void;
  /** Resolves when the work is done for every AuditEvent committed before the call. Rejects as the work does. */
  flush(): Promise<void>;
}

/** Work is pending at the start, because the previous process may have left some. */
export function deferWork(work: () => Promise<unknown>): DeferredWork {
  let isPending = true;
  let working: Promise<unknown> = Promise.resolve();
  return {
    markPending() {
      isPending = true;
    },
    async flush() {
      if (isPending) {
        isPending = false;
        working = work().catch((error: unknown) => {
          isPending = true;
          throw error;
        });
      }
      await working;
    },
  };
}
