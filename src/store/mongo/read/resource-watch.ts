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
 * Polls the revisions of the resources of the type every second, so it suits a type with few resources. Deleted ones are read
 * once, when they are missed. Resolves after the first poll. Every later write is reported, except of a resource that is
 * created and deleted between two polls. Returns the function that stops it.
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
    return collections.resource.find({ type: { $eq: type }, deleted: { $eq: false } }, options).toArray();
  };
  const findDeleted = async (keys: readonly string[]) => {
    if (keys.length === 0) return [];
    const options = { projection: { labels: 1 }, maxTimeMS: timeLimitMs };
    return collections.resource.find({ _id: { $in: [...keys] } }, options).toArray();
  };
  let known = new Map((await find()).map(({ _id, revision }) => [_id, revision]));

  const poll = async (): Promise<void> => {
    const startedMs = performance.now();
    try {
      const found = await find();
      const before = known;
      const present = new Map(found.map(({ _id, revision }) => [_id, revision]));
      const deleted = await findDeleted([...before.keys()].filter((key) => !present.has(key)));
      known = present;
      if (stopped) return;
      for (const { _id, revision, labels = [] } of found) if (before.get(_id) !== revision) changed(labels);
      for (const { labels = [] } of deleted) changed(labels);
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
