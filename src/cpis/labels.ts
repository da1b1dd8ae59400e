/**
 * Access labels of stored resources. These rules set them at write, and the access policy searches for them by `label`
 * clauses. A store never interprets them.
 */

/** Marks a Flag or Subscription with the authority that owns it. */
export const ownerLabel = (authorityId: string): string => `owner:${authorityId}`;
/** Marks a Patient or AuditEvent with an authority that may see it. */
export const viewerLabel = (authorityId: string): string => `viewer:${authorityId}`;
/** Marks a Patient with an authority that submitted it with the matching birth date. */
export const submitterLabel = (authorityId: string): string => `submitter:${authorityId}`;
/** Marks a Subscription with the client that wrote it. */
export const clientLabel = (clientId: string): string => `client:${clientId}`;
/** Marks a Flag with the last day of its plan by the life cycle. */
export const lastDayLabel = (date: string): string => `last-day:${date}`;
/** Marks a Flag that holds the expected date of delivery, which only its authority may see. */
export const dueDateLabel = 'due-date';
/** Marks an AuditEvent that belongs to the access history, which NHS staff see. */
export const accessHistoryLabel = 'access-history';

function idsOf(labels: readonly string[], prefix: string): string[] {
  return labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));
}

/** Returns the authority that owns a Flag or Subscription; undefined if no label names one. */
export function ownerOf(labels: readonly string[]): string | undefined {
  for (const label of labels) if (label.startsWith('owner:')) return label.slice('owner:'.length);
  return undefined;
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

/** Returns the authorities that submitted a Patient. */
export function submittersOf(labels: readonly string[]): string[] {
  return idsOf(labels, 'submitter:');
}

/** Returns the labels of a Patient: its holders may see it, its submitters have matched it. */
export function patientLabels(holders: Iterable<string>, submitters: Iterable<string>): string[] {
  const sorted = (ids: Iterable<string>): string[] => [...new Set(ids)].sort();
  return [...sorted(holders).map(viewerLabel), ...sorted(submitters).map(submitterLabel)];
}
