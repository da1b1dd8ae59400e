import type { Caller } from './caller.ts';
import { formerLabel, formersOf, ownerLabel, ownerOf, statedLabel } from './labels.ts';

/**
 * Labels that decide which versions of a type are disclosed. The current resource must have a label of `now` or `former`. A
 * version must be the current one of a resource with a label of `now`, or have had a label of `written` when it was written.
 */
export interface VersionAccess {
  readonly now: readonly string[];
  readonly former?: readonly string[];
  readonly written: readonly string[];
}

const none: VersionAccess = { now: [], written: [] };

/**
 * Returns which versions a caller may see by vread and history. An authority sees all versions of its own resources, and those
 * of its own Patients while it holds a plan on the child. Of a Flag that was transferred, the authority that held it sees the
 * versions up to the transfer. With `labels`, those of one resource, an authority also sees what the authorities before it
 * wrote. Other roles see none.
 */
export function versionAccess(caller: Caller, labels: readonly string[] = []): VersionAccess {
  if (caller.role !== 'authority') return none;
  const own = caller.organisation.id;
  const formers = formersOf(labels);
  const before = ownerOf(labels) === own ? formers : formers.slice(0, formers.indexOf(own) + 1);
  const written = [...new Set([own, ...before])].map(ownerLabel);
  return { now: [ownerLabel(own)], former: [formerLabel(own)], written: [...written, statedLabel] };
}

/** Returns true if the caller may see some version of a resource with these labels. */
export function mayReadVersions(caller: Caller, labels: readonly string[]): boolean {
  const { now, former = [] } = versionAccess(caller);
  return labels.some((label) => now.includes(label) || former.includes(label));
}
