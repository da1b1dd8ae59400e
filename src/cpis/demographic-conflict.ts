/**
 * Decides whether the authorities that hold plans on a child state different birth dates, and what follows from it. The child
 * record keeps the state as labels.
 */
import { createHash } from 'node:crypto';
import { isHeld, type Plan } from './plan.ts';
import { isVisible, type VisibilityRule } from './visibility.ts';

/** The birth date that an authority with a plan states. */
export interface StatedBirthDate {
  readonly authorityId: string;
  readonly birthDate: string;
}

/** Events of which holders are notified; codes of the CodeSystem plan-life-cycle. */
type ChildEventCode = 'details-differ' | 'details-agree' | 'details-tried';

export interface ChildEvent {
  readonly code: ChildEventCode;
  readonly authorityIds: readonly string[];
}

export interface ChildReview {
  readonly labels: readonly string[];
  readonly events: readonly ChildEvent[];
}

/** Marks a child record that an operator should look at. */
export const needsLookLabel = 'needs-a-look';
const differLabel = 'details-differ';
const seenLabel = 'details-seen';
const toldPrefix = 'told:';
const statedPrefix = 'stated-as:';
const triedPrefix = 'tried:';
const countPrefix = 'differing:';

/** Differing statements of one authority in a day, of which holders and the operator are notified. */
const maxDifferingADay = 3;

/** Labels of others, such as what a demographics service said of the number, are kept. */
const isOwn = (label: string): boolean =>
  [needsLookLabel, differLabel, seenLabel].includes(label) ||
  [toldPrefix, statedPrefix, triedPrefix, countPrefix].some((prefix) => label.startsWith(prefix));

const valuesOf = (labels: readonly string[], prefix: string): string[] =>
  labels.filter((label) => label.startsWith(prefix)).map((label) => label.slice(prefix.length));

/** Returns true if the birth date that an authority states counts: it holds a plan that NHS staff see, or will see. */
export function isParty(plan: Plan, rule: VisibilityRule): boolean {
  return isHeld(plan) && (plan.start > rule.today || isVisible(plan, rule));
}

/** A date without a day, or month and day, agrees with each date in its time. */
function agrees(birthDate: string, answer: string): boolean {
  return birthDate === answer || birthDate.startsWith(`${answer}-`);
}

/**
 * Returns the authorities in conflict, sorted; none if all state the same. `answer` is the birth date that a demographics
 * service gives: then those that state another one are in conflict, even a single one.
 */
export function decideConflict(stated: readonly StatedBirthDate[], answer?: string): readonly string[] {
  const dates = new Set(stated.map(({ birthDate }) => birthDate));
  if (answer === undefined && dates.size < 2) return [];
  const differing = answer === undefined ? stated : stated.filter(({ birthDate }) => !agrees(birthDate, answer));
  return differing.map(({ authorityId }) => authorityId).sort();
}

function fingerprint(stated: readonly StatedBirthDate[]): string {
  const pairs = stated.map(({ authorityId, birthDate }) => `${authorityId}=${birthDate}`).sort();
  return createHash('sha256').update(pairs.join()).digest('base64url').slice(0, 22);
}

interface Review {
  readonly stated: readonly StatedBirthDate[];
  readonly today: string;
  /** The authority whose new statement differs from what another authority states; undefined for none. */
  readonly differing: string | undefined;
  /** The birth date that a demographics service gives, if there is one. */
  readonly answer?: string | undefined;
}

/** Returns how many statements of an authority differed on a day. */
function countOf(labels: readonly string[], today: string, authorityId: string): number {
  const prefix = `${countPrefix}${today}:${authorityId}:`;
  return Math.max(0, ...valuesOf(labels, prefix).map(Number));
}

/**
 * Reviews a child record after a write. A conflict begins when birth dates differ, and ends when all are the same or one
 * authority is left; each authority is notified of both once. It does not end by the statements of an authority that has
 * tried more than three in a day, so that an end tells nobody that a guess was right. After an operator has looked at it, it
 * begins again only when the statements change.
 */
export function reviewChild(labels: readonly string[], { stated, today, differing, answer }: Review): ChildReview {
  const counts = labels.filter((label) => label.startsWith(`${countPrefix}${today}:`));
  const tried = new Set(valuesOf(labels, triedPrefix));
  const events: ChildEvent[] = [];
  if (differing !== undefined) {
    const count = countOf(labels, today, differing) + 1;
    const others = stated.map(({ authorityId }) => authorityId).filter((id) => id !== differing);
    counts.push(`${countPrefix}${today}:${differing}:${count}`);
    if (count === maxDifferingADay) {
      tried.add(differing);
      events.push({ code: 'details-tried', authorityIds: others.sort() });
    }
  }
  const isFrozen = stated.some(({ authorityId }) => countOf(counts, today, authorityId) >= maxDifferingADay);
  const parties = decideConflict(stated, answer);
  const wasTold = valuesOf(labels, toldPrefix);
  const [wasOpen, wasSeen] = [labels.includes(differLabel), labels.includes(seenLabel)];
  const statedAs = `${statedPrefix}${fingerprint(stated)}`;
  const conflict: string[] = [];
  if (parties.length > 0) {
    const begins = !wasOpen && !(wasSeen && labels.includes(statedAs));
    const toTell = begins ? parties : parties.filter((id) => !wasTold.includes(id));
    if (toTell.length > 0) events.push({ code: 'details-differ', authorityIds: toTell });
    const told = new Set([...wasTold, ...toTell].filter((id) => stated.some(({ authorityId }) => authorityId === id)));
    conflict.push(
      begins || wasOpen ? differLabel : seenLabel,
      statedAs,
      ...[...told].sort().map((id) => toldPrefix + id),
    );
  } else if ((wasOpen || wasSeen) && isFrozen) {
    conflict.push(
      ...labels.filter((label) => [differLabel, seenLabel].includes(label) || /^(?:told|stated-as):/.test(label)),
    );
  } else if (wasOpen || wasSeen) {
    events.push({ code: 'details-agree', authorityIds: wasTold });
  }
  const needsLook = conflict.includes(differLabel) || tried.size > 0;
  const latest = counts.filter(
    (label) => countOf(counts, today, label.split(':')[2] ?? '') === Number(label.split(':')[3]),
  );
  return {
    labels: [
      ...labels.filter((label) => !isOwn(label)),
      ...(needsLook ? [needsLookLabel] : []),
      ...conflict,
      ...[...tried].sort().map((id) => triedPrefix + id),
      ...latest,
    ],
    events: events.filter(({ authorityIds }) => authorityIds.length > 0),
  };
}

/** What an operator sees of a child record: authorities, and no details. */
export interface OperatorView {
  readonly differ: readonly string[];
  readonly tried: readonly string[];
}

export function viewForOperator(labels: readonly string[]): OperatorView {
  const differ = labels.includes(differLabel) ? valuesOf(labels, toldPrefix) : [];
  return { differ, tried: valuesOf(labels, triedPrefix) };
}

/** Returns the labels after an operator has looked at the child record. */
export function markSeen(labels: readonly string[]): readonly string[] {
  return labels
    .filter((label) => label !== needsLookLabel && !label.startsWith(triedPrefix))
    .map((label) => (label === differLabel ? seenLabel : label));
}
