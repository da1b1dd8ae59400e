import type { Clock } from '../clock/clock.ts';
import { addDays, londonDate } from '../cpis/london-date.ts';

export interface DailySweepOptions {
  readonly clock: Pick<Clock, 'now' | 'after'>;
  /** Sweeps for a day in Europe/London. Resolves to false if it was stopped. */
  readonly sweep: (today: string, isStopped: () => boolean) => Promise<boolean>;
  /** Called when a sweep failed; it is tried again. */
  readonly onError: (error: unknown) => void;
}

const retryAfterMs = 60_000;
/** How often the date is checked, because timers are late after the machine was suspended. */
const maxWaitMs = 60 * 60_000;

/** Returns the moment at which a day begins in Europe/London. */
export function startOfDay(date: string): number {
  const utcMs = Date.parse(date);
  const summerMs = utcMs - 60 * 60_000;
  return londonDate(summerMs) === date ? summerMs : utcMs;
}

/** Starts a sweep now, and one at the beginning of each day. `stop` resolves when a sweep that is running has ended. */
export function startDailySweep({ clock, sweep, onError }: DailySweepOptions): { stop(): Promise<void> } {
  let stopped = false;
  let swept: string | undefined;
  let cancel = (): void => undefined;

  async function run(): Promise<void> {
    const today = londonDate(clock.now());
    if (today !== swept) {
      try {
        if (await sweep(today, () => stopped)) swept = today;
      } catch (error) {
        if (!stopped) onError(error);
      }
    }
    if (stopped) return;
    const nowMs = clock.now();
    const untilNextMs = startOfDay(addDays(londonDate(nowMs), 1)) - nowMs;
    const waitMs = swept === today ? Math.min(untilNextMs, maxWaitMs) : retryAfterMs;
    cancel = clock.after(waitMs, () => {
      running = run();
    });
  }

  let running = run();
  return {
    async stop() {
      stopped = true;
      cancel();
      await running;
    },
  };
}
