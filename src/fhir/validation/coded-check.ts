import type { ValueSetExpansion } from '../definitions/definitions.ts';
import { type Check, isObject, type PathStep, type Visit } from './check.ts';

/**
 * Builds the check of a required binding on Coding or CodeableConcept. A CodeableConcept must have a coding of the
 * value set. The display of such a coding must be that of the terminology, so that it cannot hold free text.
 */
export function codedCheck(typeCode: string, valueSetUrl: string, expansion: ValueSetExpansion): Check | undefined {
  const outside = `The element must have a code of the required value set ${valueSetUrl}.`;
  if (typeCode === 'Coding') {
    return (value, visit) => {
      if (isObject(value)) checkCoding(value, visit, []);
    };
  }
  if (typeCode !== 'CodeableConcept') return undefined;
  return (value, visit) => {
    const codings = isObject(value) ? value['coding'] : undefined;
    if (!Array.isArray(codings)) {
      if (isObject(value)) visit.report('code-invalid', outside, codings === undefined ? [] : ['coding']);
      return;
    }
    const inside = codings.filter((coding) => isObject(coding) && codesOf(coding)?.has(String(coding['code'])));
    if (codings.length > 1 && inside.length === 0) visit.report('code-invalid', outside);
    for (const [index, coding] of codings.entries()) {
      if (isObject(coding) && (codings.length === 1 || inside.includes(coding))) {
        checkCoding(coding, visit, ['coding', index]);
      }
    }
  };

  function codesOf(coding: Readonly<Record<string, unknown>>): ReadonlyMap<string, string | undefined> | undefined {
    return expansion.get(String(coding['system']));
  }

  function checkCoding(coding: Readonly<Record<string, unknown>>, visit: Visit, path: readonly PathStep[]): void {
    const codes = codesOf(coding);
    if (codes === undefined) {
      visit.report('code-invalid', outside, [...path, 'system']);
      return;
    }
    const code = String(coding['code']);
    if (!codes.has(code)) {
      visit.report('code-invalid', outside, [...path, 'code']);
      return;
    }
    const display = codes.get(code);
    if (coding['display'] !== undefined && display !== undefined && coding['display'] !== display) {
      visit.report(
        'code-invalid',
        'The display does not match the code. Send the display of the terminology, or none.',
        [...path, 'display'],
      );
    }
  }
}
