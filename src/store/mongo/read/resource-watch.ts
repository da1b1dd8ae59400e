/** Tells which resources of a type were written or touched, by whatever server. */
import type { Collections } from '../encoding/documents.ts';

export interface ResourceWatchOptions {
  readonly collections: Pick<Collections, 'resource'>;
  readonly timeLimitMs: number;
  readonly onError: (error: unknown) => void;
}

const pollMs = 1_000;
/** However long a look took: one that waited for a database that was away says nothing about the next. */
const longestPollMs = 5_000;

/**
 * Looks every second at the revisions of all resources of the type, deleted ones included, so it is for a type that has
 * few. Resolves after the first look: what is written after that is told.
 */
export async function watchResources(
  { collections, timeLimitMs, onError }: ResourceWatchOptions,
  type: string,
  changed: (labels: readonly string[]) => void,
): Promise<() => Promise<void>> {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();

  const find = async () => {
    const options = { projection: { revision: 1, labels: 1 }, maxTimeMS: timeLimitMs };
    return collections.resource.find({ type: { $eq: type } }, options).toArray();
  };
  let known = new Map((await find()).map(({ _id, revision }) => [_id, revision]));

  const look = async (): Promise<void> => {
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
      schedule(Math.min(longestPollMs, Math.max(pollMs, 10 * (performance.now() - startedMs))));
    }
  };

  function schedule(afterMs: number): void {
    if (stopped) return;
    timer = setTimeout(() => {
      looking = look();
    }, afterMs).unref();
  }

  schedule(pollMs);
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await looking;
  };
}
