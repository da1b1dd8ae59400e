/** A moment as a clock showed it that may leap, and on one that does not. */
interface Moment {
  readonly shownMs: number;
  readonly elapsedMs: number;
}

/** Remembers how a clock went, so that it can be told how much time has really passed since a moment that it showed. */
export interface ElapsedTime {
  /** Both clocks now; to be called in turn, and before and after each leap. */
  note(shownMs: number, elapsedMs: number): void;
  /** Milliseconds that have really passed since the clock showed this. Before the first note it went as it should. */
  since(shownMs: number): number;
}

/** Parting by less than this since the last moment that is kept is let pass: the error of `since`. */
const toleranceMs = 10_000;
/** What is older is longer ago than anything that anybody asks for. */
const keptMs = 48 * 60 * 60_000;

/** Opens it with nothing noted. */
export function openElapsedTime(): ElapsedTime {
  /** Between two of them, and after the last, both clocks go evenly. */
  let kept: Moment[] = [];
  let latestShownMs = 0;
  let latestElapsedMs = 0;

  function note(shownMs: number, elapsedMs: number): void {
    const last = kept.at(-1);
    const partedMs = last === undefined ? 0 : shownMs - last.shownMs - (elapsedMs - last.elapsedMs);
    if (last === undefined) kept.push({ shownMs, elapsedMs });
    else if (Math.abs(partedMs) > toleranceMs) {
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
