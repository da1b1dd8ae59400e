import type { Caller } from './caller.ts';
import { ownerLabel, statedLabel } from './labels.ts';

/**
 * Labels that decide which versions of a type are disclosed. The current resource must have a label of `now`. A version
 * must be the current one, or have had a label of `written` when it was written.
 */
export interface VersionAccess {
  readonly now: readonly string[];
  readonly written: readonly string[];
}

const none: VersionAccess = { now: [], written: [] };

/**
 * Returns which versions a caller may see by vread and history. An authority sees all versions of its own resources, and those
 * of its own Patients while it holds a plan on the child. Other roles see none.
 */
export function versionAccess(caller: Caller): VersionAccess {
  if (caller.role !== 'authority') return none;
  const own = ownerLabel(caller.organisation.id);
  return { now: [own], written: [own, statedLabel] };
}
