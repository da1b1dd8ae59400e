/** Keeps answers for a short time, so that a repeated submission does not ask again. */
export interface TraceCache<T> {
  get(number: string): T | undefined;
  set(number: string, value: T): void;
}

/** Opens a cache of at most `maxEntries`, each for `maxAgeMs`. `elapsed` returns monotonic milliseconds. */
export function openTraceCache<T>(
  { maxEntries, maxAgeMs }: { readonly maxEntries: number; readonly maxAgeMs: number },
  elapsed: () => number,
): TraceCache<T> {
  const entries = new Map<string, { readonly value: T; readonly atMs: number }>();
  return {
    get(number) {
      const entry = entries.get(number);
      if (entry === undefined) return undefined;
      if (elapsed() - entry.atMs < maxAgeMs) return entry.value;
      entries.delete(number);
      return undefined;
    },
    set(number, value) {
      if (maxAgeMs <= 0) return;
      entries.delete(number);
      const [oldest] = entries.keys();
      if (entries.size >= maxEntries && oldest !== undefined) entries.delete(oldest);
      entries.set(number, { value, atMs: elapsed() });
    },
  };
}
