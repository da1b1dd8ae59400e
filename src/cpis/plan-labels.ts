/**
 * The labels of the Flag of a plan. Everything that labels a Flag calls this module, so that no writer drops the marks
 * of another.
 */

import { dueDateLabel, formerLabel, lastDayLabel, lastDayLabelled, ownerLabel } from './labels.ts';
import { lastDayOf } from './life-cycle.ts';
import type { Plan } from './plan.ts';

const confirmedPrefix = 'confirmed:';
const notifiedPrefix = 'notified:';
const formerPrefix = formerLabel('');
const marks = [confirmedPrefix, notifiedPrefix, formerPrefix];
const isMark = (label: string): boolean => marks.some((prefix) => label.startsWith(prefix));

/**
 * Returns the labels of the Flag of a plan. Those that follow from the plan are built again; marks among `known`, the
 * labels that the Flag has so far, are kept. So is the last day, if the authority has stated no birth date.
 */
export function planLabels(plan: Plan, birthDate: string | undefined, known: readonly string[]): readonly string[] {
  const lastDay = birthDate === undefined ? lastDayLabelled(known) : lastDayOf(plan, birthDate);
  return [
    ownerLabel(plan.authorityId),
    ...(lastDay === undefined ? [] : [lastDayLabel(lastDay)]),
    ...(plan.dueDate === undefined ? [] : [dueDateLabel]),
    ...known.filter(isMark),
  ];
}

/** Marks that the authority submitted the plan on a day, `YYYY-MM-DD` in Europe/London. */
export function markConfirmed(labels: readonly string[], date: string): readonly string[] {
  return [...labels.filter((label) => !label.startsWith(confirmedPrefix)), `${confirmedPrefix}${date}`];
}

/** Returns the day on which the authority last submitted the plan; undefined for one that was stored without the mark. */
export function confirmedOn(labels: readonly string[]): string | undefined {
  return labels.find((label) => label.startsWith(confirmedPrefix))?.slice(confirmedPrefix.length);
}

/**
 * Returns the labels of a Flag whose plan passes from one authority to another. `to` is notified again of what `from` was
 * notified of, except that an unborn child's plan which was opened again does not end again.
 */
export function transferLabels(labels: readonly string[], from: string, to: string): readonly string[] {
  const gone = new Set([ownerLabel(from), formerLabel(from)]);
  const isKept = (label: string): boolean =>
    !label.startsWith(notifiedPrefix) || label.startsWith(`${notifiedPrefix}no-longer-shown:`);
  const kept = labels.filter((label) => !gone.has(label) && isKept(label));
  return [ownerLabel(to), ...kept, formerLabel(from)];
}

/** Marks that the authority was notified of an event of the plan. The mark of an earlier date is replaced. */
export function markNotified(labels: readonly string[], event: string, date: string): readonly string[] {
  const prefix = `${notifiedPrefix}${event}:`;
  return [...labels.filter((label) => !label.startsWith(prefix)), `${prefix}${date}`];
}

/** Returns the date of the last event of this kind that the authority was notified of. */
export function notifiedOn(labels: readonly string[], event: string): string | undefined {
  const prefix = `${notifiedPrefix}${event}:`;
  return labels.find((label) => label.startsWith(prefix))?.slice(prefix.length);
}
