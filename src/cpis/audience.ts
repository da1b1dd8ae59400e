import type { Caller } from './caller.ts';
import type { Plan } from './plan.ts';
import { isVisible, type VisibilityRule } from './visibility.ts';

/** Returns the authorities that hold a visible plan among these, sorted by id. */
export function visibleHolders(plans: readonly Plan[], rule: VisibilityRule): string[] {
  const holders = new Set<string>();
  for (const plan of plans) {
    if (isVisible(plan, rule)) holders.add(plan.authorityId);
  }
  return [...holders].sort();
}

/**
 * Returns true for a read that the client declares silent (`IsUnscheduledAccessEvent: false`) and is registered for.
 * Without the header, a read counts as unscheduled.
 */
export function isSilent(caller: Caller, unscheduledAccess: boolean | undefined): boolean {
  return unscheduledAccess === false && caller.silentReads;
}

/**
 * Returns the authorities to notify of a care provider's read: each holder of a visible plan, unless the read is
 * silent.
 */
export function notifiedOfRead(
  caller: Caller,
  holders: readonly string[],
  unscheduledAccess: boolean | undefined,
): readonly string[] {
  return caller.role === 'care-provider' && !isSilent(caller, unscheduledAccess) ? holders : [];
}

/**
 * Returns the authorities to notify when an authority writes a plan: the other holders of visible plans on the patient.
 */
export function notifiedOfWrite(actingAuthorityId: string, holders: readonly string[]): readonly string[] {
  return holders.filter((id) => id !== actingAuthorityId);
}
