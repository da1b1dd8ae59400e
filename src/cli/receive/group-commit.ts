import type { Inbox, Received, Recorded } from './inbox.ts';

/**
 * Returns a function that stores notifications which arrive together in one transaction, with one fsync. Calls
 * `onRecorded` after each transaction.
 */
export function groupCommits(
  inbox: Inbox,
  onRecorded: (recorded: Recorded) => void,
): (received: Received) => Promise<Recorded> {
  let waiting: { readonly received: Received; readonly done: PromiseWithResolvers<Recorded> }[] = [];

  function flush(): void {
    const batch = waiting;
    waiting = [];
    let recorded: Recorded;
    try {
      recorded = inbox.record(batch.map(({ received }) => received));
    } catch (error) {
      for (const { done } of batch) done.reject(error);
      return;
    }
    for (const { done } of batch) done.resolve(recorded);
    onRecorded(recorded);
  }

  return (received) => {
    const done = Promise.withResolvers<Recorded>();
    if (waiting.length === 0) setImmediate(flush);
    waiting.push({ received, done });
    return done.promise;
  };
}
