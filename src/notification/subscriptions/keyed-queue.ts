/** Runs tasks of the same key one after another, and tasks of different keys in parallel. */
export interface KeyedQueue {
  /** Runs the task after all earlier ones of the key, whether or not they failed. Settles as the task does. */
  run<T>(key: string, task: () => Promise<T>): Promise<T>;
  /** Resolves when no task is left. */
  idle(): Promise<void>;
}

export function openKeyedQueue(): KeyedQueue {
  /** The last task of each key. */
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
