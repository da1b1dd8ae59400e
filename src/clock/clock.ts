import { uptime } from 'node:os';
import { openElapsedTime } from './elapsed-time.ts';

/** Time, as every part of the server sees it. A test supplies its own. */
export interface Clock {
  /** Returns the wall-clock time, epoch milliseconds. */
  now(): number;
  /** Returns the real time since `now` returned `atMs`, whatever happened to the wall clock. Never below 0. */
  ageMs(atMs: number): number;
  /** Returns milliseconds of a clock that wall-clock changes do not move. */
  elapsed(): number;
  /** Runs `run` once after `delayMs` of that same clock. Returns a function that cancels it. */
  after(delayMs: number, run: () => void): () => void;
}

/** A wall clock that never goes back. */
export interface SteadyTime {
  /** Returns epoch milliseconds. */
  now(): number;
  /** Returns the real time since `now` returned `atMs`, without jumps. Never below 0. */
  ageMs(atMs: number): number;
  /**
   * Returns how far it was ahead of the machine's wall clock (negative: behind) when `now` was last called, in
   * milliseconds.
   */
  aheadMs(): number;
}

/** A step forward of more than this is a jump. It is followed only after it has lasted. */
const jumpMs = 60_000;
const jumpLastsMs = 120_000;
/** Pace while the machine's clock is behind, as a part of real time. */
const slowRate = 0.9;

/**
 * Follows the machine's wall clock without ever going back. A small step forward is followed at once. A jump is
 * followed when it has lasted two minutes, so that a glitch is ignored. After a step back this clock runs at nine
 * tenths of real time until the machine's clock has caught up.
 * `wall` and `elapsed` return epoch and monotonic milliseconds. `slept` returns how long the machine has been
 * suspended: a jump of that length is time that has passed.
 */
export function openSteadyTime(
  wall: () => number = Date.now,
  elapsed: () => number = () => performance.now(),
  slept: () => number = () => uptime() * 1000 - performance.now(),
): SteadyTime {
  let lastMs = wall();
  let lastElapsedMs = elapsed();
  let jumpSinceMs: number | undefined;
  let aheadMs = 0;
  const elapsedTime = openElapsedTime();
  const sleptBeforeMs = slept();
  let sleptMs = 0;

  function now(): number {
    const elapsedMs = elapsed();
    const wallMs = wall();
    const passedMs = Math.max(0, elapsedMs - lastElapsedMs);
    const jumps = wallMs - (lastMs + passedMs) > jumpMs;
    jumpSinceMs = jumps ? (jumpSinceMs ?? elapsedMs) : undefined;
    const isFollowed = jumpSinceMs === undefined || elapsedMs - jumpSinceMs >= jumpLastsMs;
    if (jumps && isFollowed) sleptMs = Math.max(0, slept() - sleptBeforeMs);
    lastMs = isFollowed ? Math.max(wallMs, lastMs + passedMs * slowRate) : lastMs + passedMs;
    lastElapsedMs = elapsedMs;
    aheadMs = lastMs - wallMs;
    elapsedTime.note(lastMs, elapsedMs + sleptMs);
    return Math.floor(lastMs);
  }
  now();
  return {
    now,
    ageMs: (atMs) => {
      now();
      return elapsedTime.since(atMs);
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
    // A time that has passed is due at once.
    const timer = setTimeout(run, Math.max(0, delayMs));
    timer.unref();
    return () => clearTimeout(timer);
  },
};
