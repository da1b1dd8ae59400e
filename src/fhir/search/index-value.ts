/** Converts elements to index values, by the tables per parameter type in https://hl7.org/fhir/R4/search.html. */
import type { SearchParameter } from '../definitions/search-parameter.ts';
import { parseReference } from '../references.ts';
import { type IndexValue, ofTypeParam, textParam } from './ast.ts';
import { earliestMs, latestMs, parseInterval } from './date.ts';
import { normaliseText } from './normalise-text.ts';

type Element = Readonly<Record<string, unknown>>;

/**
 * Returns the index values of an element; `elementType` is its FHIR type. Returns none if the parameter type does not
 * apply to that type. A `code` has its implied system; boolean, string, uri and ContactPoint have no system.
 */
export function toIndexValues(
  parameter: SearchParameter,
  elementType: string,
  element: unknown,
  baseUrl: string,
): IndexValue[] {
  switch (parameter.type) {
    case 'token':
      return [...toTokens(parameter, elementType, element), ...toTokenTexts(parameter.code, elementType, element)];
    case 'reference':
      return elementType === 'Reference' ? toReferences(parameter, element as Element, baseUrl) : [];
    case 'date':
      return toDates(parameter.code, elementType, element);
    case 'string':
      return toTexts(elementType, element).map((exact) => ({
        kind: 'string',
        param: parameter.code,
        normalised: normaliseText(exact),
        exact,
      }));
    case 'uri':
      return typeof element === 'string' ? [{ kind: 'uri', param: parameter.code, value: element }] : [];
  }
}

function toTokens(parameter: SearchParameter, elementType: string, element: unknown): IndexValue[] {
  if (elementType === 'CodeableConcept') {
    return codingsOf(element).flatMap((coding) => toToken(parameter.code, coding, 'code'));
  }
  if (elementType === 'Coding') return toToken(parameter.code, element as Element, 'code');
  if (elementType === 'Identifier') return toToken(parameter.code, element as Element, 'value');
  if (elementType === 'ContactPoint') {
    return toToken(parameter.code, { value: (element as Element)['value'] }, 'value');
  }
  if (typeof element !== 'string' && typeof element !== 'boolean') return [];
  return [{ kind: 'token', param: parameter.code, system: parameter.system ?? null, code: String(element) }];
}

function toToken(param: string, element: Element, codeName: 'code' | 'value'): IndexValue[] {
  const { system, [codeName]: code } = element;
  if (typeof code !== 'string') return [];
  return [{ kind: 'token', param, system: typeof system === 'string' ? system : null, code }];
}

/** Returns the values for `:text` and `:of-type`: the texts of a code, and the type of an identifier. */
function toTokenTexts(code: string, elementType: string, element: unknown): IndexValue[] {
  if (elementType === 'Coding') return toText(code, element);
  if (elementType === 'CodeableConcept')
    return codingsOf(element)
      .flatMap((coding) => toText(code, coding))
      .concat(toText(code, element));
  const { type, value } = (elementType === 'Identifier' ? element : {}) as Element;
  if (typeof type !== 'object' || type === null) return [];
  const typed = codingsOf(type).flatMap(({ system, code: typeCode }) =>
    typeof system === 'string' && typeof typeCode === 'string' && typeof value === 'string'
      ? [{ kind: 'token' as const, param: ofTypeParam(code), system: `${system}|${typeCode}`, code: value }]
      : [],
  );
  return [...typed, ...toText(code, type)];
}

function codingsOf(concept: unknown): readonly Element[] {
  const codings = (concept as Element)['coding'];
  return Array.isArray(codings) ? codings : [];
}

/** Uses Coding.display or CodeableConcept.text. */
function toText(code: string, element: unknown): IndexValue[] {
  const { display, text: own } = element as Element;
  const exact = display ?? own;
  if (typeof exact !== 'string') return [];
  return [{ kind: 'string', param: textParam(code), normalised: normaliseText(exact), exact }];
}

/** Returns the literal reference, and the identifier of the target if the reference has one. */
function toReferences(parameter: SearchParameter, element: Element, baseUrl: string): IndexValue[] {
  const { reference, identifier, type: statedType } = element;
  const param = parameter.code;
  const literal = typeof reference === 'string' ? parseReference(reference, baseUrl) : undefined;
  const type = literal?.type ?? (typeof statedType === 'string' ? statedType : undefined);
  if (type === undefined ? parameter.narrowed : !parameter.targets.includes(type)) return [];
  const values: IndexValue[] = [];
  if (literal !== undefined) values.push({ kind: 'reference', param, type: literal.type, id: literal.id });
  if (typeof identifier === 'object' && identifier !== null) {
    const { system, value } = identifier as Element;
    if (typeof value === 'string') {
      values.push({ kind: 'reference-identifier', param, system: typeof system === 'string' ? system : null, value });
    }
  }
  return values;
}

/** A Period without an end lasts to `latestMs`, and one without a start begins at `earliestMs`. */
function toDates(param: string, elementType: string, element: unknown): IndexValue[] {
  if (elementType !== 'Period') {
    const interval = typeof element === 'string' ? parseInterval(element) : undefined;
    return interval === undefined ? [] : [{ kind: 'date', param, ...interval }];
  }
  const { start, end } = element as Element;
  const first = typeof start === 'string' ? parseInterval(start) : undefined;
  const last = typeof end === 'string' ? parseInterval(end) : undefined;
  if (first === undefined && last === undefined) return [];
  return [{ kind: 'date', param, startMs: first?.startMs ?? earliestMs, endMs: last?.endMs ?? latestMs }];
}

const nameParts = ['text', 'family', 'given', 'prefix', 'suffix'];
const addressParts = ['text', 'line', 'city', 'district', 'state', 'postalCode', 'country'];

/** Returns each part of a HumanName or Address as a text of its own. */
function toTexts(elementType: string, element: unknown): string[] {
  if (typeof element === 'string') return [element];
  const parts = elementType === 'HumanName' ? nameParts : elementType === 'Address' ? addressParts : [];
  return parts.flatMap((part) => (element as Element)[part]).filter((text): text is string => typeof text === 'string');
}
