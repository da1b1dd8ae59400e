/**
 * The life cycle of a plan, as pure functions of the plan, its subject's birth date and the day. Dates are calendar dates
 * (`YYYY-MM-DD`) in Europe/London.
 */

import { addDays } from './london-date.ts';
import { type Plan, unbornKind } from './plan.ts';

const adultAgeYears = 18;
/** How long an unborn child's plan is shown after the expected date of delivery. */
const unbornShownDays = 28;
/** The longest that an unborn child's plan without an expected date of delivery is shown: 40 weeks and 28 days. */
const maxUnbornDays = 44 * 7;

/** Returns the day before the 18th birthday. Someone born on 29 February is 18 on 1 March in a common year. */
export function lastDayUnder18(birthDate: string): string {
  const [year = 0, month = 1, day = 1] = birthDate.split('-').map(Number);
  return addDays(new Date(Date.UTC(year + adultAgeYears, month - 1, day)).toISOString().slice(0, 10), -1);
}

/**
 * Returns the end that the life cycle gives a plan: its last day, but never a day before its start. A birth date that is
 * corrected after a plan has ended may have the 18th birthday before the start.
 */
export function lifeCycleEnd({ start, lastDay }: Pick<Plan, 'start' | 'lastDay'>): string | undefined {
  return lastDay !== undefined && lastDay < start ? start : lastDay;
}

/**
 * Returns the last day of a plan by its life cycle, whatever its authority submits: the day before the 18th birthday for a
 * child protection plan or a looked-after status, and the last day on which an unborn child's plan is shown. An unborn
 * plan is the mother's row, so it does not end by her age.
 */
export function lastDayOf(plan: Pick<Plan, 'kind' | 'start' | 'dueDate'>, birthDate: string): string {
  if (plan.kind !== unbornKind) return lastDayUnder18(birthDate);
  return plan.dueDate === undefined ? addDays(plan.start, maxUnbornDays) : addDays(plan.dueDate, unbornShownDays);
}
