import { type Check, isObject } from './check.ts';

/** Builds the check of `fixed[x]` (an equal value) or `pattern[x]` (at least that value) of a data type. */
export function patternCheck(expected: unknown, isExact: boolean): Check {
  return (value, visit) => {
    if (!matches(value, expected, isExact)) {
      visit.report('value', 'The element must have the value that the definition fixes.');
    }
  };
}

function matches(value: unknown, expected: unknown, isExact: boolean): boolean {
  if (Array.isArray(expected)) {
    if (!Array.isArray(value) || (isExact && value.length !== expected.length)) return false;
    return expected.every((item, index) =>
      isExact ? matches(value[index], item, true) : value.some((candidate) => matches(candidate, item, false)),
    );
  }
  if (!isObject(expected)) return value === expected;
  if (!isObject(value) || (isExact && Object.keys(value).length !== Object.keys(expected).length)) return false;
  return Object.entries(expected).every(
    ([name, item]) => Object.hasOwn(value, name) && matches(value[name], item, isExact),
  );
}
