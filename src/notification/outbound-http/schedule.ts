/**
 * The retry schedule of a failed delivery: after 5 s, 30 s, 2 min, 10 min, and every 10 to 15 min from then on, for
 * ever. The longest wait is short, so that an endpoint that recovers late in the 24 hours is still reached in time.
 */

const minuteMs = 60_000;
const stepsMs = [5_000, 30_000, 2 * minuteMs, 10 * minuteMs];
const jitter = 0.2;
const floorMs = 10 * minuteMs;

/** Maximum wait for the next attempt. */
export const longestDelayMs = 15 * minuteMs;

/**
 * Returns the wait after the `failures`-th consecutive failure (1: the first), in milliseconds. `random` returns
 * numbers in [0, 1). `retryAfterMs`, which the endpoint asked for, can only lengthen the wait, up to 15 min.
 */
export function retryDelayMs(failures: number, random: () => number, retryAfterMs = 0): number {
  const step = stepsMs[Math.max(failures, 1) - 1];
  const delayMs =
    step === undefined ? floorMs + random() * (longestDelayMs - floorMs) : step * (1 - jitter + random() * 2 * jitter);
  const askedMs = Number.isFinite(retryAfterMs) ? retryAfterMs : longestDelayMs;
  return Math.round(Math.min(Math.max(delayMs, askedMs), longestDelayMs));
}
