/**
 * The labels of a child record: what the demographics service said of its NHS number. They are set only from its answers, so
 * that nothing else ever links two numbers.
 */

/** One NHS number was replaced by another. Both child records have the label. */
export interface Replacement {
  readonly from: string;
  readonly to: string;
}

const replacedPrefix = 'replaced:';
const tracedPrefix = 'traced:';
const tracedBirthDatePrefix = 'traced-birth-date:';
const inactiveLabel = 'number-inactive';

const replacedLabel = ({ from, to }: Replacement): string => `${replacedPrefix}${from}:${to}`;

/** Returns the replacements that a child record takes part in. */
export function replacementsOf(labels: readonly string[]): readonly Replacement[] {
  return labels
    .filter((label) => label.startsWith(replacedPrefix))
    .map((label) => label.slice(replacedPrefix.length).split(':'))
    .map(([from = '', to = '']) => ({ from, to }));
}

/** Returns the number that replaced this one; undefined if none did. */
export function replacementOf(number: string, labels: readonly string[]): string | undefined {
  return replacementsOf(labels).find(({ from }) => from === number)?.to;
}

/** Returns the labels with the replacement. */
export function withReplacement(labels: readonly string[], replacement: Replacement): readonly string[] {
  return [...new Set([...labels, replacedLabel(replacement)])];
}

/** Returns the labels without the replacement. */
export function withoutReplacement(labels: readonly string[], replacement: Replacement): readonly string[] {
  return labels.filter((label) => label !== replacedLabel(replacement));
}

/** Returns the day on which the number was last traced. */
export function tracedOn(labels: readonly string[]): string | undefined {
  return labels.find((label) => label.startsWith(tracedPrefix))?.slice(tracedPrefix.length);
}

/** Returns the labels of a number that was traced on this day. */
export function markTraced(labels: readonly string[], date: string): readonly string[] {
  return [...labels.filter((label) => !label.startsWith(tracedPrefix)), `${tracedPrefix}${date}`];
}

/** Returns the birth date that the demographics service gave: `YYYY`, `YYYY-MM` or `YYYY-MM-DD`. Undefined if it gave none. */
export function tracedBirthDate(labels: readonly string[]): string | undefined {
  return labels.find((label) => label.startsWith(tracedBirthDatePrefix))?.slice(tracedBirthDatePrefix.length);
}

/** Returns the labels with the birth date that the demographics service gives now; undefined removes it. */
export function markTracedBirthDate(labels: readonly string[], birthDate: string | undefined): readonly string[] {
  if (tracedBirthDate(labels) === birthDate) return labels;
  const others = labels.filter((label) => !label.startsWith(tracedBirthDatePrefix));
  return birthDate === undefined ? others : [...others, tracedBirthDatePrefix + birthDate];
}

/** Returns true if the number is known to have no successor. */
export function isInactive(labels: readonly string[]): boolean {
  return labels.includes(inactiveLabel);
}

/** Returns the labels of a number that has no successor, or that is in use again. */
export function markInactive(labels: readonly string[], inactive: boolean): readonly string[] {
  const others = labels.filter((label) => label !== inactiveLabel);
  return inactive ? [...others, inactiveLabel] : others;
}
