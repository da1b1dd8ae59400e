/** Decides when a late delivery needs a person: a pure function of the backlog and of time. */
import type { DeliveryBacklog, DeliveryBreach } from '../../store/store.ts';

const hourMs = 60 * 60_000;

/** Ages in hours at which an alarm is raised or reaches a higher level. */
const alarmHours = [1, 4, 12, 20, 24] as const;

/** Ages at which an authority counts as silenced: events of it matched no Subscription, and none was delivered since. */
const unwantedHours = [4, 24] as const;

/** Maximum hours that an event may be undelivered. Reaching it is a breach of the promise. */
const promisedHours = 24;

/** 0: no alarm. */
export type AlarmLevel = 0 | (typeof alarmHours)[number];

/**
 * How long an authority has been owed an event. `parked`: events that its endpoint refuses; `unwanted`: events that match no
 * Subscription of it, with no delivery since; `overdue`: all others.
 */
export interface Alarm {
  readonly authority: string;
  readonly kind: 'overdue' | 'parked' | 'unwanted';
  readonly level: AlarmLevel;
  /** How many deliveries of that kind are undelivered now. */
  readonly undelivered: number;
  /** `recordedMs` of the oldest of them; undefined when the alarm has ended. */
  readonly oldestRecordedMs: number | undefined;
}

/** What a check of the backlog has to know of the check before. */
export interface AlarmState {
  /** Alarms that have been raised and not ended, by kind and authority. */
  readonly active: ReadonlyMap<string, Alarm>;
  /** How much was delivered to each authority, and when that number last grew; undefined: before the first check. */
  readonly delivered: ReadonlyMap<string, { readonly count: number; readonly grewMs: number | undefined }>;
}

export const noAlarms: AlarmState = { active: new Map(), delivered: new Map() };

export interface AlarmDecision extends AlarmState {
  /** Alarms whose level has changed; level 0 ends an alarm. */
  readonly changed: readonly Alarm[];
  readonly breaches: readonly DeliveryBreach[];
}

/** Returns the alarm level of an age in milliseconds. */
export function alarmLevelOf(ageMs: number, levels: readonly (typeof alarmHours)[number][] = alarmHours): AlarmLevel {
  return levels.findLast((hours) => ageMs >= hours * hourMs) ?? 0;
}

const keyOf = ({ authority, kind }: Pick<Alarm, 'authority' | 'kind'>): string => `${kind}/${authority}`;

/** Returns all alarms of one authority at their present level, 0 included. */
function readAlarms(
  { authority, undelivered, parked, unmatched, oldestRecordedMs, oldestParkedMs, oldestUnmatchedMs }: DeliveryBacklog,
  ageMs: (recordedMs: number) => number,
  deliveredMs: number | undefined,
) {
  const alarm = (kind: Alarm['kind'], count: number, oldest: number | undefined): Alarm => ({
    authority,
    kind,
    level: oldest === undefined ? 0 : alarmLevelOf(ageMs(oldest), kind === 'unwanted' ? unwantedHours : alarmHours),
    undelivered: count,
    oldestRecordedMs: oldest,
  });
  const silentSince =
    oldestUnmatchedMs === undefined ? undefined : Math.max(oldestUnmatchedMs, deliveredMs ?? oldestUnmatchedMs);
  return [
    alarm('overdue', undelivered - parked, oldestRecordedMs),
    alarm('parked', parked, oldestParkedMs),
    alarm('unwanted', unmatched, silentSince),
  ];
}

/**
 * Compares the backlog with the alarms raised before. `ageMs` returns the real age of a recorded moment, whatever the
 * wall clock did.
 */
export function judgeAlarms(
  before: AlarmState,
  backlog: readonly DeliveryBacklog[],
  nowMs: number,
  ageMs: (recordedMs: number) => number,
): AlarmDecision {
  const delivered = new Map(
    backlog.map(({ authority, delivered: count }) => {
      const known = before.delivered.get(authority);
      const grew = known !== undefined && count > known.count;
      return [authority, { count, grewMs: grew ? nowMs : known?.grewMs }];
    }),
  );
  const alarms = backlog.flatMap((row) => readAlarms(row, ageMs, delivered.get(row.authority)?.grewMs));
  const changed = alarms.filter((alarm) => alarm.level !== (before.active.get(keyOf(alarm))?.level ?? 0));
  const breaches = changed.flatMap(({ authority, kind, level, oldestRecordedMs, undelivered }) =>
    kind === 'unwanted' || level < promisedHours || oldestRecordedMs === undefined
      ? []
      : [{ authority, kind, oldestRecordedMs, atMs: nowMs, undelivered }],
  );
  const active = new Map(alarms.filter(({ level }) => level > 0).map((alarm) => [keyOf(alarm), alarm]));
  return { active, delivered, changed, breaches };
}
