/** One moment on a wall clock, which may jump, and on a monotonic clock. */
interface Moment {
  readonly shownMs: number;
  readonly elapsedMs: number;
}

/** Records the course of a wall clock, so that the real time since a moment that it showed can be calculated. */
export interface ElapsedTime {
  /** Records both clocks. Call in order of time, and before and after each jump. */
  note(shownMs: number, elapsedMs: number): void;
  /**
   * Returns the real milliseconds since the wall clock showed `shownMs`. Before the first record the clock is assumed
   * to have been right.
   */
  since(shownMs: number): number;
}

/** Drift below this is ignored; it is the maximum error of `since`. */
const toleranceMs = 10_000;
/** Older samples are never needed. */
const keptMs = 48 * 60 * 60_000;

/** Opens an empty record. */
export function openElapsedTime(): ElapsedTime {
  /** Between two samples, and after the last one, both clocks run evenly. */
  let kept: Moment[] = [];
  let latestShownMs = 0;
  let latestElapsedMs = 0;

  function note(shownMs: number, elapsedMs: number): void {
    const last = kept.at(-1);
    const driftMs = last === undefined ? 0 : shownMs - last.shownMs - (elapsedMs - last.elapsedMs);
    if (last === undefined) kept.push({ shownMs, elapsedMs });
    else if (Math.abs(driftMs) > toleranceMs) {
      kept.push({ shownMs: latestShownMs, elapsedMs: latestElapsedMs }, { shownMs, elapsedMs });
      const from = kept.findLastIndex((moment) => elapsedMs - moment.elapsedMs > keptMs);
      if (from > 0) kept = kept.slice(from);
    }
    latestShownMs = shownMs;
    latestElapsedMs = elapsedMs;
  }

  function since(shownMs: number): number {
    const index = kept.findLastIndex((moment) => moment.shownMs <= shownMs);
    const latest = { shownMs: latestShownMs, elapsedMs: latestElapsedMs };
    const [from, to = latest, first = latest] = [kept[index], kept[index + 1], kept[0]];
    if (from === undefined) return latestElapsedMs - first.elapsedMs + (first.shownMs - shownMs);
    const widthMs = to.shownMs - from.shownMs;
    const part = widthMs > 0 ? Math.min(1, (shownMs - from.shownMs) / widthMs) : 1;
    return latestElapsedMs - (from.elapsedMs + part * (to.elapsedMs - from.elapsedMs));
  }
  return { note, since };
}
