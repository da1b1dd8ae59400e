import { replacementsOf } from './number-labels.ts';

/** Maximum numbers of one person that are followed. */
const maxNumbers = 20;

/**
 * Returns an NHS number and all that are linked to it by replacements, itself first. `labelsOf` returns the labels of the
 * child record of a number. A loop ends, because no number is followed twice.
 */
export async function linkedNumbers(
  number: string,
  labelsOf: (number: string) => Promise<readonly string[]>,
): Promise<readonly string[]> {
  const found = new Set([number]);
  for (const each of found) {
    if (found.size >= maxNumbers) break;
    for (const { from, to } of replacementsOf(await labelsOf(each))) found.add(from).add(to);
  }
  return [...found];
}
