import { uptime } from 'node:os';
import { openElapsedTime } from './elapsed-time.ts';

/** Time as the dispatcher sees it; a test hands in its own. */
export interface Clock {
  /** Wall-clock time, epoch milliseconds. */
  now(): number;
  /** How much time has really passed since `now` gave this, whatever became of the wall clock; not below 0. */
  ageMs(atMs: number): number;
  /** Milliseconds of a clock that wall-clock changes do not move. */
  elapsed(): number;
  /** Runs `run` once after `delayMs`, counted on that same clock. Returns what cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** A wall clock whose time never goes back. */
export interface SteadyTime {
  /** Epoch milliseconds. */
  now(): number;
  /** How much time has really passed since `now` gave this, leaps left out; not below 0. */
  ageMs(atMs: number): number;
  /** How far it is ahead of the machine's wall clock (negative: behind it), in milliseconds, when it was last asked. */
  aheadMs(): number;
}

/** A step forward of more than this is believed only when it has lasted. */
const leapMs = 60_000;
const leapLastsMs = 120_000;
/** While the machine's clock is behind, this one goes slower than real time until both meet. */
const slowRate = 0.9;

/**
 * Follows the machine's wall clock without ever going back. A small step forward is followed at once, a leap when it has
 * lasted two minutes, so that a glitch is not taken over; after a step back time goes on at nine tenths of its pace until
 * the machine's clock has caught up. `wall` and `elapsed` are epoch and monotonic milliseconds; `slept`, for how long the
 * machine has been suspended since some moment, so that a leap by as much is time that has passed.
 */
export function openSteadyTime(
  wall: () => number = Date.now,
  elapsed: () => number = () => performance.now(),
  slept: () => number = () => uptime() * 1000 - performance.now(),
): SteadyTime {
  let lastMs = wall();
  let lastElapsedMs = elapsed();
  let leapSinceMs: number | undefined;
  let aheadMs = 0;
  const passed = openElapsedTime();
  const sleptBeforeMs = slept();
  let sleptMs = 0;

  function now(): number {
    const elapsedMs = elapsed();
    const wallMs = wall();
    const passedMs = Math.max(0, elapsedMs - lastElapsedMs);
    const leaps = wallMs - (lastMs + passedMs) > leapMs;
    leapSinceMs = leaps ? (leapSinceMs ?? elapsedMs) : undefined;
    const isFollowed = leapSinceMs === undefined || elapsedMs - leapSinceMs >= leapLastsMs;
    if (leaps && isFollowed) sleptMs = Math.max(0, slept() - sleptBeforeMs);
    lastMs = isFollowed ? Math.max(wallMs, lastMs + passedMs * slowRate) : lastMs + passedMs;
    lastElapsedMs = elapsedMs;
    aheadMs = lastMs - wallMs;
    passed.note(lastMs, elapsedMs + sleptMs);
    return Math.floor(lastMs);
  }
  now();
  return {
    now,
    ageMs: (atMs) => {
      now();
      return passed.since(atMs);
    },
    aheadMs: () => aheadMs,
  };
}

/** The time of this process. */
export const systemTime: SteadyTime = openSteadyTime();

export const systemClock: Clock = {
  now: systemTime.now,
  ageMs: systemTime.ageMs,
  elapsed: () => performance.now(),
  after(delayMs, run) {
    const timer = setTimeout(run, delayMs);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
