const format = new Intl.DateTimeFormat('en-CA', {
  timeZone: 'Europe/London',
  year: 'numeric',
  month: '2-digit',
  day: '2-digit',
});

let lastMinute = -1;
let lastDate = '';

/** Returns the calendar date in Europe/London at `nowMs`, as `YYYY-MM-DD`. */
export function londonDate(nowMs: number): string {
  const minute = Math.floor(nowMs / 60_000);
  if (minute !== lastMinute) {
    lastDate = format.format(nowMs);
    lastMinute = minute;
  }
  return lastDate;
}

/** Returns when a date (`YYYY-MM-DD`) begins in London, in epoch milliseconds. The clock never changes at midnight there. */
export function londonMidnightMs(date: string): number {
  const utcMs = Date.parse(date);
  return format.format(utcMs - 1) === date ? utcMs - 3_600_000 : utcMs;
}

/** Moves a date (`YYYY-MM-DD`) by whole months. A day that the target month lacks becomes its last day. */
export function addMonths(date: string, months: number): string {
  const [year = 0, month = 1, day = 1] = date.split('-').map(Number);
  const first = new Date(Date.UTC(year, month - 1 + months, 1));
  const lastDay = new Date(Date.UTC(first.getUTCFullYear(), first.getUTCMonth() + 1, 0)).getUTCDate();
  first.setUTCDate(Math.min(day, lastDay));
  return first.toISOString().slice(0, 10);
}

/** Moves a date (`YYYY-MM-DD`) by whole days. */
export function addDays(date: string, days: number): string {
  return new Date(Date.parse(date) + days * 86_400_000).toISOString().slice(0, 10);
}

/**
 * Returns the whole years between two dates (`YYYY-MM-DD`). A 29 February birthday counts from 1 March in common years.
 */
export function ageInYears(birthDate: string, on: string): number {
  const years = Number(on.slice(0, 4)) - Number(birthDate.slice(0, 4));
  return on.slice(5) < birthDate.slice(5) ? years - 1 : years;
}
