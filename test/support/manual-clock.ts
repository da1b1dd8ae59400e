import type { Clock } from '../../src/clock/clock.ts';

/** A clock that advances only when a test says so. */
export interface ManualClock extends Clock {
  /**
   * Advances by `byMs` and runs each timer on the way. After each, waits for `settled`, in which real I/O takes place.
   */
  advance(byMs: number, settled: () => Promise<void>): Promise<void>;
  /** Changes the wall clock only, as an operator would. */
  step(byMs: number): void;
}

interface Timer {
  readonly atMs: number;
  readonly run: () => void;
}

export function manualClock(startMs: number): ManualClock {
  const timers = new Set<Timer>();
  let elapsedMs = 0;
  let offsetMs = startMs;
  const next = (): Timer | undefined => {
    let first: Timer | undefined;
    for (const timer of timers) if (first === undefined || timer.atMs < first.atMs) first = timer;
    return first;
  };
  return {
    now: () => offsetMs + elapsedMs,
    ageMs: (atMs) => Math.max(0, offsetMs + elapsedMs - atMs),
    elapsed: () => elapsedMs,
    after: (delayMs, run) => {
      const timer = { atMs: elapsedMs + delayMs, run };
      timers.add(timer);
      return () => timers.delete(timer);
    },
    advance: async (byMs, settled) => {
      const endMs = elapsedMs + byMs;
      await settled();
      for (let timer = next(); timer !== undefined && timer.atMs <= endMs; timer = next()) {
        timers.delete(timer);
        elapsedMs = Math.max(elapsedMs, timer.atMs);
        timer.run();
        await settled();
      }
      elapsedMs = endMs;
    },
    step: (byMs) => {
      offsetMs += byMs;
    },
  };
}
