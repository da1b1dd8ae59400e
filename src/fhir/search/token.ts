/** Parses tokens: `code`, `system|code`, `|code`, `system|`. https://hl7.org/fhir/R4/search.html#token */
import type { TokenValue } from './ast.ts';
import { splitEscaped, unescapeValue } from './escape.ts';
import { Problem } from './problem.ts';

export const badEscape = new Problem('invalid', 'A backslash must be followed by a comma, |, $ or another backslash.');
const tooManyBars = new Problem('invalid', 'The value has more than one |. Write \\| for a | inside a system or code.');
const badType = new Problem('invalid', 'The value of :of-type must be system|code|value, with all three.');
const emptyToken = new Problem('invalid', 'The value has neither a system nor a code.');

export function parseTokenValue(text: string): TokenValue | Problem {
  const parts = splitEscaped(text, '|');
  const [first = '', second] = parts;
  if (parts.length > 2) return tooManyBars;
  if (second === undefined) {
    const code = unescapeValue(first);
    return code === undefined ? badEscape : { code };
  }
  const system = unescapeValue(first);
  const code = unescapeValue(second);
  if (system === undefined || code === undefined) return badEscape;
  if (system === '' && code === '') return emptyToken;
  if (code === '') return { system };
  return { system: system === '' ? null : system, code };
}

/** Parses `system|code|value` of `:of-type`: the type and the value of an identifier. All three are required. */
export function parseTypedIdentifier(text: string): TokenValue | Problem {
  const [system = '', code = '', value = '', ...others] = splitEscaped(text, '|').map(unescapeValue);
  if (others.length > 0 || system === '' || code === '' || value === '') return badType;
  return { system: `${system}|${code}`, code: value };
}
