import type { Caller } from './caller.ts';
import { ownerLabel, submitterLabel, viewerLabel } from './labels.ts';

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
 * Returns which versions a caller may see by vread and history. An authority sees all versions of its own Flags and
 * Subscriptions. Of a Patient that it holds a plan on, it sees the current version and those written while it held or
 * submitted it, so that details which others recorded before are not disclosed. Other roles see none.
 */
export function versionAccess(caller: Caller, type: string): VersionAccess {
  if (caller.role !== 'authority') return none;
  const own = caller.organisation.id;
  if (type === 'Flag' || type === 'Subscription') return { now: [ownerLabel(own)], written: [ownerLabel(own)] };
  if (type === 'Patient') return { now: [viewerLabel(own)], written: [viewerLabel(own), submitterLabel(own)] };
  return none;
}
