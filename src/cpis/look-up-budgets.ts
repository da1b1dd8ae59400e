/**
 * Counts the look-ups of each professional, organisation and client, and says when somebody may be fishing for children. Time
 * is a parameter; nothing is read or written. docs/fishing.md has the assumptions.
 */
import type { Caller } from './caller.ts';

type LookUpScope = 'professional' | 'organisation' | 'client';
type LookUpKind = 'loud' | 'silent' | 'without-plan';
type Window = 'minute' | 'hour' | 'day';

export interface LookUp {
  readonly nhsNumber: string;
  readonly isSilent: boolean;
  /** Whether any plan was visible. */
  readonly hasPlan: boolean;
}

/** A budget that has been reached. It names no person. */
export interface LookUpAlarm {
  readonly scope: LookUpScope;
  /** `share`: hardly any look-up found a plan. */
  readonly kind: LookUpKind | 'sequence' | 'share';
  /** Undefined for a sequence of numbers. */
  readonly window?: Window;
  readonly count: number;
  readonly organisationId: string;
  readonly clientId: string;
}

const windowsMs: Readonly<Record<Window, number>> = { minute: 60_000, hour: 3_600_000, day: 86_400_000 };
const windows = Object.keys(windowsMs) as readonly Window[];

type Limits = Readonly<Record<Window, number>>;
export type LookUpLimits = Readonly<Record<LookUpScope, Readonly<Record<LookUpKind, Limits>>>>;

/** Look-ups at which an alarm is raised, far above what care needs. */
const defaultLookUpLimits: LookUpLimits = {
  professional: {
    loud: { minute: 60, hour: 300, day: 1_500 },
    silent: { minute: 120, hour: 600, day: 3_000 },
    'without-plan': { minute: 60, hour: 300, day: 1_500 },
  },
  organisation: {
    loud: { minute: 600, hour: 6_000, day: 40_000 },
    silent: { minute: 1_200, hour: 12_000, day: 80_000 },
    'without-plan': { minute: 600, hour: 6_000, day: 40_000 },
  },
  client: {
    loud: { minute: 600, hour: 6_000, day: 40_000 },
    silent: { minute: 1_200, hour: 12_000, day: 80_000 },
    'without-plan': { minute: 600, hour: 6_000, day: 40_000 },
  },
};

/** Numbers in order, each a little above the one before, at which an alarm is raised. */
const sequenceLength = 20;
/** How far the next number of a sequence may be, without the check digit. */
const sequenceStep = 20;
/** Look-ups of a professional in a day after which the share without a plan is looked at, and again after as many. */
const shareOf = 2_000;
/** In care about one child in a hundred has a plan, of numbers at random one in five hundred. */
const maxShareWithoutPlan = 0.996;
/** Maximum professionals, organisations or clients that are counted. The one counted first is dropped. */
const maxCounted = 20_000;

interface Counter {
  /** Index of the window in time. */
  at: number;
  count: number;
  raised: boolean;
}

interface Counted {
  readonly counters: Readonly<Record<LookUpKind, Readonly<Record<Window, Counter>>>>;
  /** All look-ups of the minute, for the limit. */
  readonly minute: Counter;
  lastNumber: number;
  run: number;
}

const newCounter = (): Counter => ({ at: -1, count: 0, raised: false });
const newWindows = () => ({ minute: newCounter(), hour: newCounter(), day: newCounter() });
const newCounted = (): Counted => ({
  counters: { loud: newWindows(), silent: newWindows(), 'without-plan': newWindows() },
  minute: newCounter(),
  lastNumber: 0,
  run: 0,
});

export interface LookUpBudgets {
  /** Returns how long the professional of the caller has to wait for the next look-up, in seconds; 0: not at all. */
  waitS(caller: Caller, nowMs: number): number;
  /** Counts a look-up that was performed. Returns the budgets that it has reached, each once in its window. */
  count(caller: Caller, lookUp: LookUp, nowMs: number): readonly LookUpAlarm[];
}

/** `maxPerMinute`: look-ups of one professional in a minute above which further ones wait; 0: no limit. */
export function openLookUpBudgets(maxPerMinute: number, limits: LookUpLimits = defaultLookUpLimits): LookUpBudgets {
  const known: Readonly<Record<LookUpScope, Map<string, Counted>>> = {
    professional: new Map(),
    organisation: new Map(),
    client: new Map(),
  };

  function countedOf(scope: LookUpScope, id: string): Counted {
    const all = known[scope];
    const found = all.get(id);
    if (found !== undefined) return found;
    if (all.size >= maxCounted) for (const first of all.keys()) if (all.delete(first)) break;
    const counted = newCounted();
    all.set(id, counted);
    return counted;
  }

  return {
    waitS(caller, nowMs) {
      if (maxPerMinute === 0) return 0;
      const counted = known.professional.get(professionalOf(caller));
      const at = Math.floor(nowMs / windowsMs.minute);
      if (counted === undefined || counted.minute.at !== at || counted.minute.count < maxPerMinute) return 0;
      return Math.max(1, Math.ceil(((at + 1) * windowsMs.minute - nowMs) / 1_000));
    },
    count(caller, { nhsNumber, isSilent, hasPlan }, nowMs) {
      const alarms: LookUpAlarm[] = [];
      const who = { organisationId: caller.organisation.id, clientId: caller.clientId };
      const ids = {
        professional: professionalOf(caller),
        organisation: caller.organisation.id,
        client: caller.clientId,
      };
      for (const scope of ['professional', 'organisation', 'client'] as const) {
        const counted = countedOf(scope, ids[scope]);
        const add = (kind: LookUpKind): void => {
          for (const window of windows) {
            const limit = limits[scope][kind][window];
            const count = addTo(counted.counters[kind][window], windowsMs[window], nowMs, limit);
            if (count !== undefined) alarms.push({ scope, kind, window, count, ...who });
          }
        };
        add(isSilent ? 'silent' : 'loud');
        if (!hasPlan) add('without-plan');
        if (scope !== 'professional') continue;
        const without = withoutPlan(counted, nowMs);
        if (without !== undefined) alarms.push({ scope, kind: 'share', window: 'day', count: without, ...who });
        addTo(counted.minute, windowsMs.minute, nowMs, Number.POSITIVE_INFINITY);
        const run = followSequence(counted, nhsNumber);
        if (run === sequenceLength) alarms.push({ scope, kind: 'sequence', count: run, ...who });
      }
      return alarms;
    },
  };
}

/** Adds one. Returns the count if it has reached the limit, once in the window. */
function addTo(counter: Counter, windowMs: number, nowMs: number, limit: number): number | undefined {
  const at = Math.floor(nowMs / windowMs);
  if (counter.at !== at) Object.assign(counter, { at, count: 0, raised: false });
  counter.count += 1;
  if (counter.raised || counter.count < limit) return undefined;
  counter.raised = true;
  return counter.count;
}

/** Returns the look-ups of the day without a plan if they are nearly all, each time that as many have been made. */
function withoutPlan({ counters }: Counted, nowMs: number): number | undefined {
  const day = Math.floor(nowMs / windowsMs.day);
  const countOf = (kind: LookUpKind): number => (counters[kind].day.at === day ? counters[kind].day.count : 0);
  const total = countOf('loud') + countOf('silent');
  const without = countOf('without-plan');
  return total % shareOf === 0 && without >= maxShareWithoutPlan * total ? without : undefined;
}

/** Returns how many numbers have come in order. */
function followSequence(counted: Counted, nhsNumber: string): number {
  // A read that found nobody names no number.
  if (nhsNumber === '') return 0;
  // Without the check digit, which leaves gaps.
  const number = Number(nhsNumber.slice(0, 9));
  const step = number - counted.lastNumber;
  if (step === 0) return 0;
  counted.run = step > 0 && step <= sequenceStep ? counted.run + 1 : 1;
  counted.lastNumber = number;
  return counted.run;
}

/** By what the client claims, within the client, so that no client uses up the budget of another's professional. */
function professionalOf({ organisation, professional, clientId }: Caller): string {
  const { id, name } = professional ?? {};
  return JSON.stringify([clientId, organisation.id, id?.system, id?.value, id === undefined ? name : undefined]);
}
