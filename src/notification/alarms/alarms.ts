/** When an authority that is not being told is a matter for people: a pure function of what is owed and of time. */
import type { DeliveryBacklog, DeliveryBreach } from '../../store/store.ts';

const hourMs = 60 * 60_000;

/** Ages in hours at which an alarm is raised, and raised further. */
const alarmHours = [1, 4, 12, 20, 24] as const;

/** What may not be undelivered for longer: reaching it breaks the promise. */
const promisedHours = 24;

/** 0: no alarm. */
export type AlarmLevel = 0 | (typeof alarmHours)[number];

/** How long something has been undelivered. `parked`: events that the endpoint refuses; `overdue`: all others. */
export interface Alarm {
  readonly authority: string;
  readonly kind: 'overdue' | 'parked';
  readonly level: AlarmLevel;
  /** Of the kind, now. */
  readonly undelivered: number;
  /** `recordedMs` of the oldest of them; undefined when the alarm is over. */
  readonly oldestRecordedMs: number | undefined;
}

/** The alarms that stand, by kind and authority. */
export type ActiveAlarms = ReadonlyMap<string, Alarm>;

export interface AlarmDecision {
  readonly active: ActiveAlarms;
  /** Those whose level is another than before; level 0 ends an alarm. */
  readonly changed: readonly Alarm[];
  readonly breaches: readonly DeliveryBreach[];
}

/** The level of an age in milliseconds. */
export function alarmLevelOf(ageMs: number): AlarmLevel {
  return alarmHours.findLast((hours) => ageMs >= hours * hourMs) ?? 0;
}

const keyOf = ({ authority, kind }: Pick<Alarm, 'authority' | 'kind'>): string => `${kind}/${authority}`;

/** The alarms of each authority as they are now, undelivered or not. */
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

/** What has to be told, given the alarms that stood before. `ageMs`: how long ago a recorded moment really is. */
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
