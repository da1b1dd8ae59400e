/** References: `id`, `Type/id`, an absolute URL under the server's base. https://hl7.org/fhir/R4/search.html#reference */
import type { SearchParameter } from '../definitions/search-parameters.ts';
import { isResourceId, parseReference } from '../references.ts';
import type { ReferenceValue } from './ast.ts';
import { unescapeValue } from './escape.ts';
import { Problem } from './problem.ts';
import { badEscape, parseTokenValue } from './token.ts';

const badReference = new Problem('invalid', 'The value is not an id, Type/id, or an absolute URL under this server.');
const versioned = new Problem('invalid', 'A reference to a version cannot be searched for.');
const wrongTarget = new Problem('invalid', 'The value names a type that this parameter does not refer to.');
const noValue = new Problem('invalid', 'An identifier needs a value: system|value.');

/**
 * `targetType` is that of a `:Type` modifier. The type of the value is that which it names, else `targetType`, else the
 * parameter's only target, else undefined.
 */
export function parseReferenceValue(
  text: string,
  parameter: SearchParameter,
  targetType: string | undefined,
  baseUrl: string,
): ReferenceValue | Problem {
  const plain = unescapeValue(text);
  if (plain === undefined) return badEscape;
  if (isResourceId(plain)) {
    const type = targetType ?? (parameter.targets.length === 1 ? parameter.targets[0] : undefined);
    return type === undefined ? { kind: 'literal', id: plain } : { kind: 'literal', type, id: plain };
  }
  const reference = parseReference(plain, baseUrl);
  if (reference === undefined) return badReference;
  if (reference.version !== undefined) return versioned;
  if (!parameter.targets.includes(reference.type)) return wrongTarget;
  if (targetType !== undefined && targetType !== reference.type) return wrongTarget;
  return { kind: 'literal', type: reference.type, id: reference.id };
}

/** `system|value`, `|value` or `value`, of `:identifier` and of the chain `.identifier`. */
export function parseIdentifierValue(text: string): ReferenceValue | Problem {
  const token = parseTokenValue(text);
  if (token instanceof Problem) return token;
  if (token.code === undefined) return noValue;
  return token.system === undefined
    ? { kind: 'identifier', value: token.code }
    : { kind: 'identifier', system: token.system, value: token.code };
}
