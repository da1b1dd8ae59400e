/** Parses dates into intervals. https://hl7.org/fhir/R4/search.html#date */
import type { DatePrefix, DateValue } from './ast.ts';
import { Problem } from './problem.ts';

/** The earliest and latest instants of a Date, used for the open ends of a Period. */
export const earliestMs = -8.64e15;
export const latestMs = 8.64e15;

const dayMs = 86_400_000;

/** `startMs` inclusive, `endMs` exclusive, epoch milliseconds. */
export interface Interval {
  readonly startMs: number;
  readonly endMs: number;
}

const datePattern =
  /^(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?(Z|[+-]\d\d:\d\d)?)?)?)?$/;

const prefixes: ReadonlyMap<string, DatePrefix> = new Map(
  (['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const).map((prefix) => [prefix, prefix]),
);

const badDate = new Problem('invalid', 'The value must be a date: YYYY[-MM[-DD[Thh:mm[:ss[.fff]][Z|+hh:mm]]]].');
const noNow = new Problem('not-supported', 'The prefix ap is not supported here.');
const badPrefix = new Problem('invalid', 'The prefix must be one of eq, ne, gt, lt, ge, le, sa, eb, ap.');

/**
 * Parses a search value with its prefix, `eq` if it has none. For `ap`, widens the interval on both sides by a tenth of
 * its distance from the day of `nowMs`. Refuses `ap` without `nowMs`.
 */
export function parseDateValue(text: string, nowMs?: number): DateValue | Problem {
  const first = text.charCodeAt(0);
  const hasPrefix = first < 0x30 || first > 0x39;
  let prefix: DatePrefix = 'eq';
  if (hasPrefix) {
    const word = text.slice(0, 2);
    if (word === 'ap' && nowMs === undefined) return noNow;
    const known = prefixes.get(word);
    if (known === undefined) return badPrefix;
    prefix = known;
  }
  const interval = parseInterval(hasPrefix ? text.slice(2) : text);
  if (interval === undefined) return badDate;
  const widenedMs = prefix === 'ap' && nowMs !== undefined ? tenthOfGap(interval, nowMs) : 0;
  return { prefix, startMs: interval.startMs - widenedMs, endMs: interval.endMs + widenedMs };
}

/**
 * Counts from the day of `nowMs`, so that the result is the same on every page of a search that day. 0 if it is in the
 * interval.
 */
function tenthOfGap({ startMs, endMs }: Interval, nowMs: number): number {
  const todayMs = Math.floor(nowMs / dayMs) * dayMs;
  return Math.floor(Math.max(startMs - todayMs, todayMs - endMs, 0) / 10);
}

/**
 * Parses a FHIR date, dateTime or instant into its interval, at the precision of the text: year, month, day, minute,
 * second or fraction. Digits below a millisecond are cut off. Without a zone the text is UTC. Second 60 is the first of
 * the next minute. Returns undefined for any other text.
 */
export function parseInterval(text: string): Interval | undefined {
  const match = datePattern.exec(text);
  if (match === null) return undefined;
  const [, yearText = '', monthText, dayText, hourText, minuteText, secondText, fraction, zone] = match;
  const year = Number(yearText);
  if (year === 0) return undefined;
  if (monthText === undefined) return { startMs: utc(year, 0, 1), endMs: utc(year + 1, 0, 1) };
  const month = Number(monthText) - 1;
  if (month < 0 || month > 11) return undefined;
  if (dayText === undefined) return { startMs: utc(year, month, 1), endMs: utc(year, month + 1, 1) };
  const day = Number(dayText);
  if (day < 1 || day > daysInMonth(year, month)) return undefined;
  const midnightMs = utc(year, month, day);
  if (hourText === undefined) return { startMs: midnightMs, endMs: midnightMs + dayMs };
  const hour = Number(hourText);
  const minute = Number(minuteText);
  const second = Number(secondText ?? 0);
  const offsetMs = zoneOffsetMs(zone);
  if (hour > 23 || minute > 59 || second > 60 || offsetMs === undefined) return undefined;
  const wholeMs = midnightMs + hour * 3_600_000 + minute * 60_000 + second * 1000 - offsetMs;
  if (secondText === undefined) return { startMs: wholeMs, endMs: wholeMs + 60_000 };
  if (fraction === undefined) return { startMs: wholeMs, endMs: wholeMs + 1000 };
  const startMs = wholeMs + Number(fraction.slice(0, 3).padEnd(3, '0'));
  return { startMs, endMs: startMs + (fraction.length >= 3 ? 1 : fraction.length === 2 ? 10 : 100) };
}

function utc(year: number, month: number, day: number): number {
  return year >= 100 ? Date.UTC(year, month, day) : new Date(0).setUTCFullYear(year, month, day);
}

function daysInMonth(year: number, month: number): number {
  if (month !== 1) return month === 3 || month === 5 || month === 8 || month === 10 ? 30 : 31;
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28;
}

function zoneOffsetMs(zone: string | undefined): number | undefined {
  if (zone === undefined || zone === 'Z') return 0;
  const hours = Number(zone.slice(1, 3));
  const minutes = Number(zone.slice(4, 6));
  if (minutes > 59 || hours > 14 || (hours === 14 && minutes > 0)) return undefined;
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * 60_000;
}
