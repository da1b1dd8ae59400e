/** Decides when a late delivery needs a person: a pure function of the backlog and of time. */
import type { DeliveryBacklog, DeliveryBreach } from '../../store/store.ts';

const hourMs = 60 * 60_000;

/** Ages in hours at which an alarm is raised or reaches a higher level. */
const alarmHours = [1, 4, 12, 20, 24] as const;

/** Maximum hours that an event may be undelivered. Reaching it is a breach of the promise. */
const promisedHours = 24;

/** 0: no alarm. */
export type AlarmLevel = 0 | (typeof alarmHours)[number];

/** How long an authority has been owed an event. `parked`: events that its endpoint refuses; `overdue`: all others. */
export interface Alarm {
  readonly authority: string;
  readonly kind: 'overdue' | 'parked';
  readonly level: AlarmLevel;
  /** How many deliveries of that kind are undelivered now. */
  readonly undelivered: number;
  /** `recordedMs` of the oldest of them; undefined when the alarm has ended. */
  readonly oldestRecordedMs: number | undefined;
}

/** Alarms that have been raised and not ended, by kind and authority. */
export type ActiveAlarms = ReadonlyMap<string, Alarm>;

export interface AlarmDecision {
  readonly active: ActiveAlarms;
  /** Alarms whose level has changed; level 0 ends an alarm. */
  readonly changed: readonly Alarm[];
  readonly breaches: readonly DeliveryBreach[];
}

/** Returns the alarm level of an age in milliseconds. */
export function alarmLevelOf(ageMs: number): AlarmLevel {
  return alarmHours.findLast((hours) => ageMs >= hours * hourMs) ?? 0;
}

const keyOf = ({ authority, kind }: Pick<Alarm, 'authority' | 'kind'>): string => `${kind}/${authority}`;

/** Returns both alarms of one authority at their present level, 0 included. */
function readAlarms(
  { authority, undelivered, parked, oldestRecordedMs, oldestParkedMs }: DeliveryBacklog,
  ageMs: (recordedMs: number) => number,
) {
  const alarm = (kind: Alarm['kind'], count: number, oldest: number | undefined): Alarm => ({
    authority,
    kind,
    level: oldest === undefined ? 0 : alarmLevelOf(ageMs(oldest)),
    undelivered: count,
    oldestRecordedMs: oldest,
  });
  return [alarm('overdue', undelivered - parked, oldestRecordedMs), alarm('parked', parked, oldestParkedMs)];
}

/**
 * Compares the backlog with the alarms raised before. `ageMs` returns the real age of a recorded moment, whatever the
 * wall clock did.
 */
export function judgeAlarms(
  before: ActiveAlarms,
  backlog: readonly DeliveryBacklog[],
  nowMs: number,
  ageMs: (recordedMs: number) => number,
): AlarmDecision {
  const alarms = backlog.flatMap((row) => readAlarms(row, ageMs));
  const changed = alarms.filter((alarm) => alarm.level !== (before.get(keyOf(alarm))?.level ?? 0));
  const breaches = changed.flatMap(({ authority, kind, level, oldestRecordedMs, undelivered }) =>
    level < promisedHours || oldestRecordedMs === undefined
      ? []
      : [{ authority, kind, oldestRecordedMs, atMs: nowMs, undelivered }],
  );
  const active = new Map(alarms.filter(({ level }) => level > 0).map((alarm) => [keyOf(alarm), alarm]));
  return { active, changed, breaches };
}
