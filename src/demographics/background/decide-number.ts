import {
  isInactive,
  markInactive,
  markTraced,
  markTracedBirthDate,
  type Replacement,
  replacementOf,
  withoutReplacement,
} from '../../cpis/number-labels.ts';
import type { Trace } from '../demographics.ts';

/** What an answer about a held number changes. */
export interface NumberDecision {
  /** The labels of its child record, without the replacement that is to be added. */
  readonly labels: readonly string[];
  /** Replacements to remove from both child records, and one to add. */
  readonly removed: readonly Replacement[];
  readonly added: Replacement | undefined;
  /** The event of which the holders are notified; undefined if nothing is new to them. */
  readonly event: 'replaced' | 'inactive' | undefined;
  /** The record is restricted although plans are held on it: the operator is alarmed. */
  readonly isSensitive: boolean;
  /** The number was replaced by that of a record which no holder describes: the operator is alarmed. */
  readonly isUnlike: boolean;
}

/** What the server knows of a replacement. */
export interface ReplacementFacts {
  /** Whether the new number is itself known as replaced by this one, so that the two answers contradict each other. */
  readonly isLoop: boolean;
  /** Whether the birth date or a name of the new record is what a holder of plans states of the child. */
  readonly isLike: boolean;
}

/**
 * Decides what the answer about a held number changes. The labels follow the latest answer: a replacement that it does not
 * confirm is removed. The number of a sensitive record, or of one that no holder describes, is never disclosed; the old number
 * then counts as inactive.
 */
export function decideNumber(
  number: string,
  known: readonly string[],
  trace: Exclude<Trace, { kind: 'unavailable' }>,
  today: string,
  { isLoop, isLike }: ReplacementFacts,
): NumberDecision {
  const isSensitive = 'person' in trace && trace.person.isSensitive;
  const before = replacementOf(number, known);
  const isReplaced = trace.kind === 'superseded' && !isLoop && !isSensitive;
  const after = isReplaced && isLike ? trace.person.number : undefined;
  const birthDate = 'person' in trace && !isSensitive ? trace.person.birthDate : undefined;
  const inactive = after === undefined && trace.kind !== 'found' && !isLoop;
  const removed = before !== undefined && before !== after ? [{ from: number, to: before }] : [];
  const added = after !== undefined && after !== before ? { from: number, to: after } : undefined;
  const kept = removed.reduce(withoutReplacement, known);
  return {
    labels: markTracedBirthDate(markInactive(markTraced(kept, today), inactive), birthDate),
    removed,
    added,
    event: added !== undefined ? 'replaced' : inactive && !isInactive(known) ? 'inactive' : undefined,
    isSensitive,
    isUnlike: isReplaced && !isLike,
  };
}
