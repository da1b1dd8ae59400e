import { type Clock, systemClock } from '../../src/clock/clock.ts';

/** A clock that runs as time does, and that a test can move forward. */
export interface TravelClock extends Clock {
  /** Moves the clock forward to a moment, and runs every timer that is due by then, once. */
  travelTo(atMs: number): void;
}

interface Timer {
  readonly dueMs: number;
  readonly run: () => void;
}

/** Opens a clock that now shows `startMs`. */
export function openTravelClock(startMs: number): TravelClock {
  const timers = new Set<Timer>();
  let aheadMs = startMs - systemClock.elapsed();
  const elapsed = (): number => systemClock.elapsed() + aheadMs;
  return {
    now: () => Math.floor(elapsed()),
    ageMs: (atMs) => Math.max(0, elapsed() - atMs),
    elapsed,
    after(delayMs, run) {
      const timer: Timer = {
        dueMs: elapsed() + delayMs,
        run: () => {
          if (timers.delete(timer)) run();
        },
      };
      timers.add(timer);
      const cancel = systemClock.after(delayMs, timer.run);
      return () => {
        timers.delete(timer);
        cancel();
      };
    },
    travelTo(atMs) {
      aheadMs += Math.max(0, atMs - elapsed());
      for (const timer of [...timers]) if (timer.dueMs <= elapsed()) timer.run();
    },
  };
}
