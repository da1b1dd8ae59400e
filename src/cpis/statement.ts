/**
 * What the authorities state of a child. Each has a Patient of its own, and all plans on the child refer to one child
 * record, which holds the NHS number only. Both have the NHS number as their id.
 */
import type { Caller } from './caller.ts';
import { ownerLabel, statedLabel } from './labels.ts';
import { isHeld, type Plan } from './plan.ts';

/** Type of the child records in the store. Its revision guards every decision about the child. NHS staff see it as the Patient. */
export const childType = 'Child';

/** Returns the type of the Patients of an authority in the store. No other authority searches or reads this type. */
export function statementType(authorityId: string): string {
  return `Patient@${authorityId}`;
}

/** Returns the type in the store of what a caller knows as a Patient. */
export function patientTypeFor({ role, organisation }: Caller): string {
  return role === 'authority' ? statementType(organisation.id) : childType;
}

/** Returns the labels of an authority's Patient. The authority sees it while it holds a plan on the child. */
export function statementLabels(authorityId: string, plans: readonly Plan[]): readonly string[] {
  const holds = plans.some((plan) => plan.authorityId === authorityId && isHeld(plan));
  return [...(holds ? [ownerLabel(authorityId)] : []), statedLabel];
}
