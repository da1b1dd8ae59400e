/** Time as the dispatcher sees it; a test hands in its own. */
export interface Clock {
  /** Wall-clock time, epoch milliseconds. */
  now(): number;
  /** Runs `run` once after `delayMs`, counted on a clock that wall-clock changes do not move. Returns what cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/**
 * A wall clock that follows steps forward and ignores steps back: after one it goes on at its own pace, so that nothing
 * that was due, leased or recorded lies in the future. `wall` and `elapsed` are epoch and monotonic milliseconds.
 */
export function steadyNow(
  wall: () => number = Date.now,
  elapsed: () => number = () => performance.now(),
): () => number {
  let wallMs = wall();
  let elapsedMs = elapsed();
  return () => {
    const estimateMs = wallMs + Math.floor(elapsed() - elapsedMs);
    const nowMs = wall();
    if (nowMs < estimateMs) return estimateMs;
    wallMs = nowMs;
    elapsedMs = elapsed();
    return nowMs;
  };
}

export const systemClock: Clock = {
  now: steadyNow(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
