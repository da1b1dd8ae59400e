/**
 * The events of the life cycle of an open plan, as pure functions of the plan, the marks on its Flag and the day. Dates are
 * calendar dates (`YYYY-MM-DD`) in Europe/London.
 */

import { lifeCycleEnd } from './life-cycle.ts';
import { addDays } from './london-date.ts';
import { type Plan, unbornKind } from './plan.ts';
import { confirmedOn, markNotified, notifiedOn } from './plan-labels.ts';

/** Codes of profiles/cpis-plan-life-cycle-code-system.json, which defines them; a test compares the two. */
export const planEventDisplays = {
  'ends-soon': 'Ends soon by age',
  ended: 'Ended by age',
  'birth-due': 'Birth expected soon',
  'no-longer-shown': 'No longer shown',
  'due-date-missing': 'Expected date of delivery missing',
  unconfirmed: 'Not confirmed',
  transferred: 'Transferred to a successor',
  'details-differ': 'Details of the child differ between authorities',
  'details-agree': 'Details of the child agree again',
  'details-tried': 'Differing details of the child stated repeatedly',
} as const;

export type PlanEventCode = keyof typeof planEventDisplays;

export interface PlanEvent {
  readonly code: PlanEventCode;
  /**
   * The last day of the plan, the expected date of delivery, the day of the last confirmation, the vesting day, or the day
   * of the event.
   */
  readonly date: string;
}

/** An open plan as it is stored. */
export interface OpenPlan {
  readonly plan: Plan;
  readonly labels: readonly string[];
  /** The date of the stored version, which stands for the confirmation if there is no mark of one. */
  readonly writtenOn: string;
}

export interface EventRule {
  readonly today: string;
  readonly unconfirmedAfterDays: number;
}

/** What is due for a plan on a day. Without events, nothing is. */
export interface DueToday {
  readonly events: readonly PlanEvent[];
  /** The labels of the Flag that say so. */
  readonly labels: readonly string[];
  /** The `period.end` of the version to write; undefined if the plan stays open. */
  readonly end: string | undefined;
}

const endsSoonDays = 30;
const birthDueDays = 28;
const dueDateMissingDays = 300;
const repeatUnconfirmedDays = 7;

/** Returns true if the life cycle of the plan is over. */
function isOver({ lastDay }: Plan, today: string): boolean {
  return lastDay !== undefined && lastDay < today;
}

/**
 * Returns the event that the dates of the plan give on this day. A day that was missed changes nothing, because each event is
 * due until the next one of the plan replaces it.
 */
function datedEvent({ kind, start, dueDate, lastDay }: Plan, today: string): PlanEvent | undefined {
  if (lastDay === undefined) return undefined;
  if (lastDay < today) return { code: kind === unbornKind ? 'no-longer-shown' : 'ended', date: lastDay };
  const from = (date: string, event: PlanEvent): PlanEvent | undefined => (today < date ? undefined : event);
  // The 18th birthday is the day after the last day.
  if (kind !== unbornKind) return from(addDays(lastDay, 1 - endsSoonDays), { code: 'ends-soon', date: lastDay });
  return dueDate === undefined
    ? from(addDays(start, dueDateMissingDays), { code: 'due-date-missing', date: lastDay })
    : from(addDays(dueDate, -birthDueDays), { code: 'birth-due', date: dueDate });
}

/** Returns the day on which the authority last submitted the plan. */
export function lastConfirmed({ labels, writtenOn }: Pick<OpenPlan, 'labels' | 'writtenOn'>): string {
  return confirmedOn(labels) ?? writtenOn;
}

/** Returns true if the authority has not confirmed the plan for too long. A plan that is over need not be confirmed. */
export function isUnconfirmed(open: OpenPlan, { today, unconfirmedAfterDays }: EventRule): boolean {
  return !isOver(open.plan, today) && today >= addDays(lastConfirmed(open), unconfirmedAfterDays);
}

/** Returns true if an unborn child's plan has gone without an expected date of delivery for too long. */
export function lacksDueDate({ plan }: OpenPlan, { today }: EventRule): boolean {
  return datedEvent(plan, today)?.code === 'due-date-missing';
}

/**
 * Decides what is due. An event is due once for each date; one of a plan that was not confirmed is repeated each week. A
 * child protection plan or a looked-after status that is open after its last day always ends. An unborn child's plan ends
 * once: if its authority opens it again it stays open, and is not shown.
 *
 * The end is the last day, but never before the start. `showPlan` gives the same with and without it: an unborn child's
 * plan stays hidden, because the day is after its last day and not because it ended.
 */
export function decideToday(open: OpenPlan, rule: EventRule): DueToday {
  const { plan, labels } = open;
  const { today } = rule;
  const events: PlanEvent[] = [];
  let marked = labels;
  const dated = datedEvent(plan, today);
  if (dated !== undefined && (dated.code === 'ended' || notifiedOn(labels, dated.code) !== dated.date)) {
    events.push(dated);
    marked = markNotified(marked, dated.code, dated.date);
  }
  const ends = events.length > 0 && isOver(plan, today);
  const repeated = notifiedOn(labels, 'unconfirmed');
  if (isUnconfirmed(open, rule) && (repeated === undefined || today >= addDays(repeated, repeatUnconfirmedDays))) {
    events.push({ code: 'unconfirmed', date: lastConfirmed(open) });
    marked = markNotified(marked, 'unconfirmed', today);
  }
  return { events, labels: marked, end: ends ? lifeCycleEnd(plan) : undefined };
}
