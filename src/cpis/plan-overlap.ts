/** One authority has at most one child protection plan and one looked-after status on a child at a time. */
import { lifeCycleEnd } from './life-cycle.ts';
import { isHeld, type Plan, unbornKind } from './plan.ts';

/** Returns the last day of a plan, by its end or by the life cycle; undefined if neither is known. */
function lastDayOf(plan: Plan): string | undefined {
  const latest = lifeCycleEnd(plan);
  return plan.end === undefined || (latest !== undefined && latest < plan.end) ? latest : plan.end;
}

/** Returns true if the two plans have a day in common. */
function shareADay(a: Plan, b: Plan): boolean {
  const [lastOfA, lastOfB] = [lastDayOf(a), lastDayOf(b)];
  return (lastOfB === undefined || a.start <= lastOfB) && (lastOfA === undefined || b.start <= lastOfA);
}

/** Returns true if `plan` claims no day that the recorded plan did not. */
function isWithin(plan: Plan, known: Plan): boolean {
  if (!isHeld(known) || plan.kind !== known.kind || plan.start < known.start) return false;
  return known.end === undefined || (plan.end !== undefined && plan.end <= known.end);
}

/** Returns true if the plan may not overlap another. Two unborn children's plans on one mother are twins. */
export function isExclusive(plan: Plan): boolean {
  return plan.kind !== unbornKind && isHeld(plan);
}

/**
 * Returns the plan among `plans` that `plan` may not be recorded beside: of the same authority, child and kind, with a day
 * in common. Withdrawn plans do not count. `known` is the recorded plan that `plan` amends: an amendment that claims no further day is never refused, so that a plan that overlaps already
 * can be ended.
 */
export function findOverlap(plan: Plan, known: Plan | undefined, plans: readonly Plan[]): Plan | undefined {
  if (!isExclusive(plan)) return undefined;
  if (known !== undefined && isWithin(plan, known)) return undefined;
  return plans.find(
    (other) =>
      other.id !== plan.id &&
      other.authorityId === plan.authorityId &&
      other.patientId === plan.patientId &&
      other.kind === plan.kind &&
      isHeld(other) &&
      shareADay(plan, other),
  );
}
