/** Tokens: `code`, `system|code`, `|code`, `system|`. https://hl7.org/fhir/R4/search.html#token */
import type { TokenValue } from './ast.ts';
import { splitEscaped, unescapeValue } from './escape.ts';
import { Problem } from './problem.ts';

export const badEscape = new Problem(
  'invalid',
  'A backslash may stand only before a comma, |, $ or another backslash.',
);
const tooManyBars = new Problem('invalid', 'The value has more than one |; write \\| for one inside a system or code.');
const badType = new Problem('invalid', 'The value of :of-type is system|code|value, each of them there.');
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

/** `system|code|value` of `:of-type`: type and value of an identifier, all three of which must be there. */
export function parseTypedIdentifier(text: string): TokenValue | Problem {
  const [system = '', code = '', value = '', ...others] = splitEscaped(text, '|').map(unescapeValue);
  if (others.length > 0 || system === '' || code === '' || value === '') return badType;
  return { system: `${system}|${code}`, code: value };
}
