import type { Caller } from './caller.ts';
import { ownerLabel, submitterLabel, viewerLabel } from './labels.ts';

/**
 * Which versions of a type are told: the resource as it is now bears a label of `now`, and the version is the current one
 * or bore a label of `written` when it was written.
 */
export interface VersionAccess {
  readonly now: readonly string[];
  readonly written: readonly string[];
}

const none: VersionAccess = { now: [], written: [] };

/**
 * The rule of vread and of every history, stated once. An authority: all versions of its own Flags and Subscriptions; of a
 * Patient that it holds a plan on, the current version and those written while it was the authority's as well, so that
 * what others recorded or corrected before stays unseen. Nobody else.
 */
export function versionAccess(caller: Caller, type: string): VersionAccess {
  if (caller.role !== 'authority') return none;
  const own = caller.organisation.id;
  if (type === 'Flag' || type === 'Subscription') return { now: [ownerLabel(own)], written: [ownerLabel(own)] };
  if (type === 'Patient') return { now: [viewerLabel(own)], written: [viewerLabel(own), submitterLabel(own)] };
  return none;
}
