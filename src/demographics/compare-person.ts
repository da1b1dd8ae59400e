import { normaliseText } from '../fhir/search/normalise-text.ts';
import type { Match, Person, PersonName, StatedDetails, Trace } from './demographics.ts';

/** Splits names into words, because one element may hold several: "John Paul", "Anne-Marie". */
function wordsOf(given: readonly string[]): readonly string[] {
  return given.flatMap((name) => normaliseText(name).split(' ')).filter(Boolean);
}

/**
 * Returns which of the rules that the case systems of authorities use (docs/demographics.md) is the first by which two names
 * agree; undefined if none does. The family names must be equal; case, accents and punctuation do not count. Then:
 * 1. all given names are equal;
 * 2. the first given names are equal;
 * 3. the first stated given name is any given name of the record;
 * 4. a further stated given name is any given name of the record.
 */
export function nameRule(stated: PersonName, recorded: PersonName): 1 | 2 | 3 | 4 | undefined {
  const family = normaliseText(stated.family);
  if (family === '' || family !== normaliseText(recorded.family)) return undefined;
  const [own, known] = [wordsOf(stated.given), wordsOf(recorded.given)];
  const [first] = own;
  if (first === undefined || known.length === 0) return undefined;
  if (own.join(' ') === known.join(' ')) return 1;
  if (first === known[0]) return 2;
  if (known.includes(first)) return 3;
  return own.some((word) => known.includes(word)) ? 4 : undefined;
}

/** Whether any stated name agrees with any recorded one by a rule of `nameRule`. */
export function namesAgree(stated: readonly PersonName[], recorded: readonly PersonName[]): boolean {
  return stated.some((own) => recorded.some((known) => nameRule(own, known) !== undefined));
}

/** Compares birth dates. A recorded date without a day, or month and day, agrees with each date in its time. */
function compareBirthDate(stated: string, { birthDate }: Person): 'agrees' | 'differs' | 'unrecorded' {
  if (birthDate === undefined) return 'unrecorded';
  return stated === birthDate || stated.startsWith(`${birthDate}-`) ? 'agrees' : 'differs';
}

/** Compares what an authority states with the answer of the demographics service. */
export function compareTrace(stated: StatedDetails, trace: Trace): Match {
  if (trace.kind === 'unavailable') return trace;
  if (trace.kind === 'invalidated' || trace.kind === 'not-found') return { kind: 'no-match' };
  return {
    kind: 'compared',
    birthDate: compareBirthDate(stated.birthDate, trace.person),
    nameAgrees: namesAgree(stated.names, trace.person.names),
    isSuperseded: trace.kind === 'superseded',
    person: trace.person,
  };
}
