/**
 * When a failed delivery is tried again: at once, then after 5 s, 30 s, 2 min, 10 min, and every 10 to 15 min from then
 * on, for ever. The longest gap is short, so that an endpoint that comes back late in the 24 hours is still found in time.
 */

const minuteMs = 60_000;
const stepsMs = [5_000, 30_000, 2 * minuteMs, 10 * minuteMs];
const jitter = 0.2;
const floorMs = 10 * minuteMs;

/** No delivery waits longer than this for its next attempt. */
export const longestDelayMs = 15 * minuteMs;

/**
 * The wait after the `failures`-th failure in a row (1: the first), in milliseconds.
 * `random` gives numbers in [0, 1). `retryAfterMs`, what the endpoint asked for, can only lengthen the wait, up to 15 min.
 */
export function retryDelayMs(failures: number, random: () => number, retryAfterMs = 0): number {
  const step = stepsMs[Math.max(failures, 1) - 1];
  const delayMs =
    step === undefined ? floorMs + random() * (longestDelayMs - floorMs) : step * (1 - jitter + random() * 2 * jitter);
  const askedMs = Number.isFinite(retryAfterMs) ? retryAfterMs : longestDelayMs;
  return Math.round(Math.min(Math.max(delayMs, askedMs), longestDelayMs));
}
