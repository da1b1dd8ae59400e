import type { Clock } from './clock.ts';

/** Named timers: setting one replaces the timer of that name. */
export interface Timers<Name extends string> {
  /** Runs `run` once after `delayMs`, or after 1 ms if that is longer. */
  set(name: Name, delayMs: number, run: () => void): void;
  clear(): void;
}

/** Opens an empty set of timers. */
export function openTimers<Name extends string>(clock: Pick<Clock, 'after'>): Timers<Name> {
  const cancels = new Map<Name, () => void>();
  return {
    set(name, delayMs, run) {
      cancels.get(name)?.();
      const cancel = clock.after(Math.max(1, delayMs), () => {
        cancels.delete(name);
        run();
      });
      cancels.set(name, cancel);
    },
    clear() {
      for (const cancel of cancels.values()) cancel();
      cancels.clear();
    },
  };
}
