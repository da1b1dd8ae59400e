import type { ValueSetExpansion } from '../definitions/definitions.ts';
import { type Check, isObject, type PathStep, type Visit } from './check.ts';

/**
 * A required binding on Coding or CodeableConcept: a CodeableConcept needs one coding of the value set; the display of a
 * coding of the value set is that of the terminology, so that it can't carry free text.
 */
export function codedCheck(typeCode: string, valueSetUrl: string, expansion: ValueSetExpansion): Check | undefined {
  const outside = `There is no code of the required value set ${valueSetUrl}.`;
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
      visit.report('code-invalid', 'The display is not that of the code.', [...path, 'display']);
    }
  }
}
