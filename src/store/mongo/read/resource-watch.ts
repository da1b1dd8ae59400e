/** Reports resources of a type that any server has written or guarded. */
import type { Collections } from '../encoding/documents.ts';

export interface ResourceWatchOptions {
  readonly collections: Pick<Collections, 'resource'>;
  readonly timeLimitMs: number;
  readonly onError: (error: unknown) => void;
}

const pollMs = 1_000;
/** Maximum interval, however long a poll took: one that waited for a lost database says nothing about the next. */
const maxPollMs = 5_000;

/**
 * Polls the revisions of all resources of the type every second, deleted ones included, so it suits a type with few
 * resources. Resolves after the first poll. Every later write is reported. Returns the function that stops it.
 */
export async function watchResources(
  { collections, timeLimitMs, onError }: ResourceWatchOptions,
  type: string,
  changed: (labels: readonly string[]) => void,
): Promise<() => Promise<void>> {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let polling: Promise<void> = Promise.resolve();

  const find = async () => {
    const options = { projection: { revision: 1, labels: 1 }, maxTimeMS: timeLimitMs };
    return collections.resource.find({ type: { $eq: type } }, options).toArray();
  };
  let known = new Map((await find()).map(({ _id, revision }) => [_id, revision]));

  const poll = async (): Promise<void> => {
    const startedMs = performance.now();
    try {
      const found = await find();
      const before = known;
      known = new Map(found.map(({ _id, revision }) => [_id, revision]));
      if (stopped) return;
      for (const { _id, revision, labels = [] } of found) if (before.get(_id) !== revision) changed(labels);
    } catch (error) {
      if (!stopped) onError(error);
    } finally {
      schedule(Math.min(maxPollMs, Math.max(pollMs, 10 * (performance.now() - startedMs))));
    }
  };

  function schedule(afterMs: number): void {
    if (stopped) return;
    timer = setTimeout(() => {
      polling = poll();
    }, afterMs).unref();
  }

  schedule(pollMs);
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await polling;
  };
}
