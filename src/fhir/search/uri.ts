/** Parses `:above` of a uri parameter. https://hl7.org/fhir/R4/search.html#uri */
import { unescapeValue } from './escape.ts';
import { Problem } from './problem.ts';
import { badEscape } from './token.ts';
import { parseValues } from './values.ts';

const maxAbove = 100;
const tooDeep = new Problem('too-costly', `The value has more than ${maxAbove} URIs above it.`);

/** Returns the values and all URIs above them: each prefix that ends at or before a slash. */
export function parseUriAbove(text: string): readonly string[] | Problem {
  const values = parseValues(text, (value) => unescapeValue(value) ?? badEscape);
  if (values instanceof Problem) return values;
  const above = new Set<string>();
  for (const value of values) {
    above.add(value);
    const authority = value.indexOf('://');
    for (let at = value.indexOf('/', authority < 0 ? 1 : authority + 3); at > 0; at = value.indexOf('/', at + 1)) {
      above.add(value.slice(0, at)).add(value.slice(0, at + 1));
      if (above.size > maxAbove) return tooDeep;
    }
  }
  return [...above];
}
