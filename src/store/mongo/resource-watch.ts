/** Tells which resources of a type were written or touched, by whatever server. */
import type { Collections } from './documents.ts';

export interface ResourceWatchOptions {
  readonly collections: Pick<Collections, 'resource'>;
  readonly timeLimitMs: number;
  readonly onError: (error: unknown) => void;
}

const pollMs = 1_000;

/**
 * Looks every second at the revisions of all resources of the type, deleted ones included, so it is for a type that has
 * few. What was there at the first look is not told.
 */
export function watchResources(
  { collections, timeLimitMs, onError }: ResourceWatchOptions,
  type: string,
  changed: (labels: readonly string[]) => void,
): () => Promise<void> {
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<void> = Promise.resolve();
  let known: Map<string, number> | undefined;

  const look = async (): Promise<void> => {
    const startedMs = performance.now();
    try {
      const options = { projection: { revision: 1, labels: 1 }, maxTimeMS: timeLimitMs };
      const found = await collections.resource.find({ type: { $eq: type } }, options).toArray();
      const before = known;
      known = new Map(found.map(({ _id, revision }) => [_id, revision]));
      if (before === undefined || stopped) return;
      for (const { _id, revision, labels = [] } of found) if (before.get(_id) !== revision) changed(labels);
    } catch (error) {
      if (!stopped) onError(error);
    } finally {
      schedule(Math.max(pollMs, 10 * (performance.now() - startedMs)));
    }
  };

  function schedule(afterMs: number): void {
    if (stopped) return;
    timer = setTimeout(() => {
      looking = look();
    }, afterMs).unref();
  }

  looking = look();
  return async () => {
    stopped = true;
    clearTimeout(timer);
    await looking;
  };
}
