/** Time as the dispatcher sees it; a test hands in its own. */
export interface Clock {
  /** Wall-clock time, epoch milliseconds. */
  now(): number;
  /** Runs `run` once after `delayMs`, counted on a clock that wall-clock changes do not move. Returns what cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

export const systemClock: Clock = {
  now: Date.now,
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
