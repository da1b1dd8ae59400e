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

/**
 * `Retry-After` (RFC 9110 10.2.3) in milliseconds: delay-seconds or an HTTP-date. Undefined when there is none that can be
 * understood; a date in the past is 0.
 */
export function parseRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined;
  const text = value.trim();
  if (/^\d{1,15}$/.test(text)) return Number(text) * 1000;
  if (!/^[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT$/.test(text)) return undefined;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
