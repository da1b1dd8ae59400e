/**
 * Decides whether the authorities that hold plans on a child state different birth dates, and what follows from it. The child
 * record keeps the state as labels.
 */
import { createHash } from 'node:crypto';
import { type ChildState, type Conflict, readChildState, writeChildState } from './child-labels.ts';
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

/** Differing statements of one authority in a day, after which holders and the operator are notified. */
const maxDifferingADay = 3;

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

interface Counted extends Omit<ChildState, 'conflict'> {
  readonly events: readonly ChildEvent[];
}

/** Counts a differing statement. The third in a day makes its authority a suspect, and notifies the other holders. */
function countDiffering(known: ChildState, { stated, differing }: Review): Counted {
  const { counts, tried } = known;
  if (differing === undefined) return { counts, tried, events: [] };
  const count = (counts.get(differing) ?? 0) + 1;
  const counted = new Map(counts).set(differing, count);
  if (count !== maxDifferingADay) return { counts: counted, tried, events: [] };
  const others = stated.map(({ authorityId }) => authorityId).filter((id) => id !== differing);
  const event: ChildEvent = { code: 'details-tried', authorityIds: others.sort() };
  return { counts: counted, tried: new Set([...tried, differing]), events: [event] };
}

/** Begins, continues or ends a conflict. `isFrozen` keeps it from ending. */
function judgeConflict(
  known: Conflict | undefined,
  { stated, answer }: Review,
  isFrozen: boolean,
): { readonly conflict: Conflict | undefined; readonly events: readonly ChildEvent[] } {
  const parties = decideConflict(stated, answer);
  if (parties.length === 0) {
    if (known === undefined || isFrozen) return { conflict: known, events: [] };
    return { conflict: undefined, events: [{ code: 'details-agree', authorityIds: known.notified }] };
  }
  const statedAs = fingerprint(stated);
  const begins = known === undefined || (known.isSeen && known.statedAs !== statedAs);
  const notified = known?.notified ?? [];
  const toNotify = begins ? parties : parties.filter((id) => !notified.includes(id));
  // With an answer, a holder may agree with it while another one still differs.
  const agreeing = notified.filter(
    (id) => !parties.includes(id) && stated.some(({ authorityId }) => authorityId === id),
  );
  return {
    conflict: {
      isSeen: !begins && known.isSeen,
      statedAs,
      notified: isFrozen ? [...new Set([...parties, ...agreeing])].sort() : parties,
    },
    events: [
      { code: 'details-differ', authorityIds: toNotify },
      { code: 'details-agree', authorityIds: isFrozen ? [] : agreeing },
    ],
  };
}

/**
 * Reviews a child record after a write, and at the beginning of a day. A conflict begins when birth dates differ, and ends
 * when all are the same or one authority is left; each authority is notified of both once. It does not end on a day on which
 * an authority with a plan has tried three or more, so that an end confirms no guess. After an operator has looked at it, it
 * begins again only when the statements change.
 */
export function reviewChild(labels: readonly string[], review: Review): ChildReview {
  const { stated, today } = review;
  const known = readChildState(labels, today);
  const { counts, tried, events } = countDiffering(known, review);
  const isFrozen = stated.some(({ authorityId }) => (counts.get(authorityId) ?? 0) >= maxDifferingADay);
  const judged = judgeConflict(known.conflict, review, isFrozen);
  return {
    labels: writeChildState(labels, { conflict: judged.conflict, tried, counts }, today),
    events: [...events, ...judged.events].filter(({ authorityIds }) => authorityIds.length > 0),
  };
}
