/**
 * The rules of conflicting birth dates as a plain model, written from docs/life-cycle.md and ADR 0037 and not from src/cpis.
 * A holder is an authority with a plan on the child that NHS staff see, or will see.
 */

/** The birth dates that the holders of a child state, by authority. */
type Stated = ReadonlyMap<number, string>;

/** The birth date that an authority states, with or without a plan. */
export interface Statement {
  readonly authority: number;
  readonly birthDate: string;
}

interface Conflict {
  /** The statements that an operator has looked at; undefined if none has. */
  readonly seenAs: string | undefined;
  /** The holders that were notified of its beginning. */
  readonly notified: ReadonlySet<number>;
}

interface Child {
  readonly conflict: Conflict | undefined;
  /** How often each authority has stated something differing on a day; only the last day counts. */
  readonly tries: { readonly day: string; readonly counts: ReadonlyMap<number, number> };
  /** Authorities that have tried too often, until an operator has looked. */
  readonly suspects: ReadonlySet<number>;
}

export interface ConflictModel {
  /** Judges a child after a commit, and at the beginning of a day. `changed` is the statement that an authority has just changed. Returns events, as texts. */
  review(child: number, stated: Stated, today: string, changed?: Statement): string[];
  /** An operator looks at a child. Returns false if there is nothing to look at. */
  resolve(child: number, stated: Stated): boolean;
  /** Returns what an operator should look at, as texts. */
  waiting(): string[];
}

const maxTries = 3;
const blank: Child = { conflict: undefined, tries: { day: '', counts: new Map() }, suspects: new Set() };
const textOf = (stated: Stated): string => JSON.stringify([...stated].sort());
const sorted = (authorities: Iterable<number>): string => [...authorities].sort().join();

export function openConflictModel(): ConflictModel {
  const children = new Map<number, Child>();
  const childOf = (child: number): Child => children.get(child) ?? blank;

  /** Counts a statement. Returns the events of the third in a day. */
  function count(child: number, stated: Stated, today: string, stating: number): string[] {
    const { tries, suspects, conflict } = childOf(child);
    const counts = new Map(tries.day === today ? tries.counts : []);
    const times = (counts.get(stating) ?? 0) + 1;
    counts.set(stating, times);
    const isSuspect = times === maxTries;
    const suspected = isSuspect ? new Set([...suspects, stating]) : suspects;
    children.set(child, { conflict, tries: { day: today, counts }, suspects: suspected });
    const others = [...stated.keys()].filter((authority) => authority !== stating);
    return isSuspect ? others.map((authority) => `${child} ${authority} details-tried`) : [];
  }

  /** Begins, widens or ends the conflict of a child. Returns the events. */
  function judge(child: number, stated: Stated, today: string): string[] {
    const known = childOf(child);
    const { conflict, tries } = known;
    const put = (next: Conflict | undefined): void => void children.set(child, { ...known, conflict: next });
    const event = (code: string) => (authority: number) => `${child} ${authority} ${code}`;
    const holders = [...stated.keys()];
    if (new Set(stated.values()).size > 1) {
      const begins = conflict === undefined || ![undefined, textOf(stated)].includes(conflict.seenAs);
      const toNotify = holders.filter((authority) => begins || !conflict.notified.has(authority));
      put({ seenAs: begins ? undefined : conflict.seenAs, notified: new Set(holders) });
      return toNotify.map(event('details-differ'));
    }
    const isGuessed = (authority: number): boolean =>
      tries.day === today && (tries.counts.get(authority) ?? 0) >= maxTries;
    if (conflict === undefined || holders.some(isGuessed)) return [];
    put(undefined);
    return holders.filter((authority) => conflict.notified.has(authority)).map(event('details-agree'));
  }

  return {
    review(child, stated, today, changed) {
      const isOther = ([authority, birthDate]: readonly [number, string]): boolean =>
        authority !== changed?.authority && birthDate !== changed?.birthDate;
      const differs = changed !== undefined && [...stated].some(isOther);
      const tried = differs ? count(child, stated, today, changed.authority) : [];
      const events = [...tried, ...judge(child, stated, today)];
      return events.map((event) => `${today} child ${event} ${today}`);
    },
    resolve(child, stated) {
      const known = childOf(child);
      const { conflict, suspects } = known;
      const isOpen = conflict !== undefined && conflict.seenAs === undefined;
      if (!isOpen && suspects.size === 0) return false;
      const seen = isOpen ? { ...conflict, seenAs: textOf(stated) } : conflict;
      children.set(child, { ...known, conflict: seen, suspects: new Set() });
      return true;
    },
    waiting: () =>
      [...children]
        .map(([child, { conflict, suspects }]) => {
          const isOpen = conflict !== undefined && conflict.seenAs === undefined;
          return `${child} differ ${sorted(isOpen ? conflict.notified : [])} tried ${sorted(suspects)}`;
        })
        .filter((text) => !text.endsWith(' differ  tried '))
        .sort(),
  };
}
