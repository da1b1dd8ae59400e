/** The labels by which a child record keeps a conflict of details. */

/** A conflict that has begun. */
export interface Conflict {
  /** An operator has looked at it. */
  readonly isSeen: boolean;
  /** Fingerprint of the statements when it was last reviewed. */
  readonly statedAs: string;
  /** The authorities that were notified of its beginning, sorted. */
  readonly notified: readonly string[];
}

export interface ChildState {
  readonly conflict: Conflict | undefined;
  /** Authorities that stated differing details too often, until an operator has looked. */
  readonly tried: ReadonlySet<string>;
  /** How often each authority stated differing details today. */
  readonly counts: ReadonlyMap<string, number>;
}

/** Marks a child record that an operator should look at. */
export const needsLookLabel = 'needs-a-look';
const differLabel = 'details-differ';
const seenLabel = 'details-seen';
const notifiedPrefix = 'notified:';
const statedPrefix = 'stated-as:';
const triedPrefix = 'tried:';
const countPrefix = 'differing:';

/** One of these is on each child record with a conflict. */
export const conflictLabels: readonly string[] = [differLabel, seenLabel];

/** Labels of others, such as what a demographics service said of the number, are kept. */
const isOwn = (label: string): boolean =>
  [needsLookLabel, ...conflictLabels].includes(label) ||
  [notifiedPrefix, statedPrefix, triedPrefix, countPrefix].some((prefix) => label.startsWith(prefix));

const valuesOf = (labels: readonly string[], prefix: string): string[] =>
  labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));

/** Reads the state of a child record. Counts of another day than `today` are left out. */
export function readChildState(labels: readonly string[], today: string): ChildState {
  const isSeen = labels.includes(seenLabel);
  const conflict: Conflict = {
    isSeen,
    statedAs: valuesOf(labels, statedPrefix)[0] ?? '',
    notified: valuesOf(labels, notifiedPrefix),
  };
  const counts = valuesOf(labels, `${countPrefix}${today}:`).map((value): [string, number] => {
    const [authorityId = '', count] = value.split(':');
    return [authorityId, Number(count)];
  });
  return {
    conflict: isSeen || labels.includes(differLabel) ? conflict : undefined,
    tried: new Set(valuesOf(labels, triedPrefix)),
    counts: new Map(counts),
  };
}

/** Returns the labels of a child record with this state. */
export function writeChildState(
  labels: readonly string[],
  { conflict, tried, counts }: ChildState,
  today: string,
): readonly string[] {
  const needsLook = conflict?.isSeen === false || tried.size > 0;
  const ofConflict =
    conflict === undefined
      ? []
      : [
          conflict.isSeen ? seenLabel : differLabel,
          statedPrefix + conflict.statedAs,
          ...conflict.notified.map((id) => notifiedPrefix + id),
        ];
  return [
    ...labels.filter((label) => !isOwn(label)),
    ...(needsLook ? [needsLookLabel] : []),
    ...ofConflict,
    ...[...tried].sort().map((id) => triedPrefix + id),
    ...[...counts].map(([id, count]) => `${countPrefix}${today}:${id}:${count}`),
  ];
}

/** What an operator sees of a child record: authorities, and no details. */
export interface OperatorView {
  readonly differ: readonly string[];
  readonly tried: readonly string[];
}

export function viewForOperator(labels: readonly string[]): OperatorView {
  const differ = labels.includes(differLabel) ? valuesOf(labels, notifiedPrefix) : [];
  return { differ, tried: valuesOf(labels, triedPrefix) };
}

/** Returns the labels after an operator has looked at the child record. */
export function markSeen(labels: readonly string[]): readonly string[] {
  return labels
    .filter((label) => label !== needsLookLabel && !label.startsWith(triedPrefix))
    .map((label) => (label === differLabel ? seenLabel : label));
}
