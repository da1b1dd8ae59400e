import type { Arrived, Inbox, Recorded } from './inbox.ts';

/**
 * Records side by side what arrived side by side: one transaction, one wait for the disk. `onRecorded` is told after each, before
 * those who wait are.
 */
export function groupCommits(
  inbox: Inbox,
  onRecorded: (recorded: Recorded) => void,
): (arrived: Arrived) => Promise<Recorded> {
  let waiting: { readonly arrived: Arrived; readonly done: PromiseWithResolvers<Recorded> }[] = [];

  function flush(): void {
    const batch = waiting;
    waiting = [];
    let recorded: Recorded;
    try {
      recorded = inbox.record(batch.map(({ arrived }) => arrived));
    } catch (error) {
      for (const { done } of batch) done.reject(error);
      return;
    }
    for (const { done } of batch) done.resolve(recorded);
    onRecorded(recorded);
  }

  return (arrived) => {
    const done = Promise.withResolvers<Recorded>();
    if (waiting.length === 0) setImmediate(flush);
    waiting.push({ arrived, done });
    return done.promise;
  };
}
