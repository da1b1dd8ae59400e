/** Pieces of work that wait for one another within a key, and for nothing else. */
export interface KeyedQueue {
  /** Runs after what is under way for the key, whatever became of that. Settles as the task does. */
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
  /** Resolves when nothing is under way. */
  idle(): Promise<void>;
}

export function openKeyedQueue(): KeyedQueue {
  /** The last piece of work on each key. */
  const last = new Map<string, Promise<unknown>>();
  return {
    run: (key, task) => {
      const next = (last.get(key) ?? Promise.resolve()).then(task);
      const settled: Promise<unknown> = next
        .catch(() => undefined)
        .then(() => {
          if (last.get(key) === settled) last.delete(key);
        });
      last.set(key, settled);
      return next;
    },
    idle: async () => {
      while (last.size > 0) await Promise.all(last.values());
    },
  };
}
