/**
 * Access labels: what a store may know about who sees a resource. They are set at write by these rules and turned into
 * `label` clauses by the access policy; a store never interprets them.
 */

/** On a Flag or Subscription: the authority that owns it. */
export const ownerLabel = (authorityId: string): string => `owner:${authorityId}`;
/** On a Patient or AuditEvent: an authority that may see it. */
export const viewerLabel = (authorityId: string): string => `viewer:${authorityId}`;
/** On a Patient: an authority that has submitted it with the matching birth date. */
export const submitterLabel = (authorityId: string): string => `submitter:${authorityId}`;
/** On a Subscription: the client that wrote it. */
export const clientLabel = (clientId: string): string => `client:${clientId}`;
/** On an AuditEvent: it belongs to the access history that NHS staff see. */
export const accessHistoryLabel = 'access-history';

function idsOf(labels: readonly string[], prefix: string): string[] {
  return labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));
}

/** The authority that owns a Flag or Subscription; undefined when no label names one. */
export function ownerOf(labels: readonly string[]): string | undefined {
  for (const label of labels) if (label.startsWith('owner:')) return label.slice('owner:'.length);
  return undefined;
}

/** The client that wrote a Subscription. */
export function clientOf(labels: readonly string[]): string | undefined {
  return idsOf(labels, 'client:')[0];
}

/** The authorities that have submitted a Patient. */
export function submittersOf(labels: readonly string[]): string[] {
  return idsOf(labels, 'submitter:');
}

/** The labels of a Patient: seen by the authorities that hold plans on it, matched by those that submitted it. */
export function patientLabels(holders: Iterable<string>, submitters: Iterable<string>): string[] {
  const sorted = (ids: Iterable<string>): string[] => [...new Set(ids)].sort();
  return [...sorted(holders).map(viewerLabel), ...sorted(submitters).map(submitterLabel)];
}
