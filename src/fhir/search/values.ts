/** Parses the comma-separated alternatives of a parameter. */
import { splitEscaped } from './escape.ts';
import { Problem } from './problem.ts';

const maxValues = 100;
const maxValueLength = 1024;

const empty = new Problem('invalid', 'The value is empty.');
const tooMany = new Problem('too-costly', `A parameter may have at most ${maxValues} values.`);
const tooLong = new Problem('too-long', `A value may have at most ${maxValueLength} characters.`);
const unreadable = new Problem(
  'invalid',
  'The value has a character that is not allowed: NUL or half a surrogate pair.',
);

/** Returns a problem for text that no parameter accepts, else undefined. */
export function checkText(text: string, maxLength: number): Problem | undefined {
  if (text === '') return empty;
  if (text.length > maxLength) return tooLong;
  if (text.includes('\0') || !text.isWellFormed()) return unreadable;
  return undefined;
}

/**
 * Splits at commas and parses each value. Returns the first problem. `parseValue` receives text that is still escaped.
 */
export function parseValues<V>(text: string, parseValue: (value: string) => V | Problem): readonly V[] | Problem {
  const problem = checkText(text, maxValues * (maxValueLength + 1));
  if (problem !== undefined) return problem;
  const parts = splitEscaped(text, ',');
  if (parts.length > maxValues) return tooMany;
  const values: V[] = [];
  for (const part of parts) {
    if (part === '') return empty;
    if (part.length > maxValueLength) return tooLong;
    const value = parseValue(part);
    if (value instanceof Problem) return value;
    values.push(value);
  }
  return values;
}
