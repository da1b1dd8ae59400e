/**
 * Access labels of stored resources. These rules set them at write, and the access policy searches for them by `label`
 * clauses. A store never interprets them.
 */

/** Marks a Flag or Subscription with the authority that owns it, and a Patient while that authority holds a plan on it. */
export const ownerLabel = (authorityId: string): string => `owner:${authorityId}`;
/** Marks an AuditEvent with an authority that may see it. */
export const viewerLabel = (authorityId: string): string => `viewer:${authorityId}`;
/** Marks a Subscription with the client that wrote it. */
export const clientLabel = (clientId: string): string => `client:${clientId}`;
/** Marks a Flag with the last day of its plan by the life cycle. */
export const lastDayLabel = (date: string): string => `last-day:${date}`;
/** Marks a Flag with an authority that held the plan before it was transferred. */
export const formerLabel = (authorityId: string): string => `former:${authorityId}`;
/** Marks a Flag that holds the expected date of delivery, which only its authority may see. */
export const dueDateLabel = 'due-date';
/** Marks every version of an authority's Patient, whether or not the authority then held a plan. */
export const statedLabel = 'stated';
/** Marks an AuditEvent that belongs to the access history, which NHS staff see. */
export const accessHistoryLabel = 'access-history';

function idsOf(labels: readonly string[], prefix: string): string[] {
  return labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));
}

/** Returns the authority that owns a Flag, Patient or Subscription; undefined if no label names one. */
export function ownerOf(labels: readonly string[]): string | undefined {
  for (const label of labels) if (label.startsWith('owner:')) return label.slice('owner:'.length);
  return undefined;
}

/** Returns the authorities that held the plan of a Flag before, the first one first. */
export function formersOf(labels: readonly string[]): string[] {
  return idsOf(labels, 'former:');
}

/** Returns the last day of the plan of a Flag; undefined if no label names one. */
export function lastDayLabelled(labels: readonly string[]): string | undefined {
  for (const label of labels) if (label.startsWith('last-day:')) return label.slice('last-day:'.length);
  return undefined;
}

/** Returns the client that wrote a Subscription. */
export function clientOf(labels: readonly string[]): string | undefined {
  return idsOf(labels, 'client:')[0];
}
