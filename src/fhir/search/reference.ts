/**
 * Parses references: `id`, `Type/id`, an absolute URL under the base URL. https://hl7.org/fhir/R4/search.html#reference
 */
import type { SearchParameter } from '../definitions/search-parameter.ts';
import { isResourceId, parseReference } from '../references.ts';
import type { ReferenceValue } from './ast.ts';
import { unescapeValue } from './escape.ts';
import { Problem } from './problem.ts';
import { badEscape, parseTokenValue } from './token.ts';

const badReference = new Problem('invalid', 'The value must be an id, Type/id, or an absolute URL under this server.');
const versioned = new Problem('invalid', 'A search by a reference to a version is not possible. Leave out /_history/.');
const wrongTarget = new Problem('invalid', 'The value names a type that this parameter does not refer to.');
const noValue = new Problem('invalid', 'An identifier must have a value: system|value.');

/**
 * Parses a reference. Its type is the one in the text, else `targetType` (from a `:Type` modifier), else the only
 * target of the parameter, else undefined.
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

/** Parses `system|value`, `|value` or `value`, for `:identifier` and the chain `.identifier`. */
export function parseIdentifierValue(text: string): ReferenceValue | Problem {
  const token = parseTokenValue(text);
  if (token instanceof Problem) return token;
  if (token.code === undefined) return noValue;
  return token.system === undefined
    ? { kind: 'identifier', value: token.code }
    : { kind: 'identifier', system: token.system, value: token.code };
}
