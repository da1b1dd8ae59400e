import { type FhirFault, fault } from '../fhir/fault.ts';
import { spineCoding } from './spine-code.ts';

/** Identifier system of NHS numbers. */
export const nhsNumberSystem = 'https://fhir.nhs.uk/Id/nhs-number';

/**
 * Returns true for a ten-digit NHS number with a valid modulus-11 check digit (weights 10 to 2; 11 counts as 0, 10 is
 * invalid).
 */
export function isNhsNumber(text: string): boolean {
  if (text.length !== 10) return false;
  let sum = 0;
  for (let index = 0; index < 10; index += 1) {
    const digit = text.charCodeAt(index) - 48;
    if (digit < 0 || digit > 9) return false;
    if (index < 9) sum += digit * (10 - index);
  }
  const check = (11 - (sum % 11)) % 11;
  return check !== 10 && check === text.charCodeAt(9) - 48;
}

/** Builds the fault INVALID_NHS_NUMBER for an element or parameter. */
export function invalidNhsNumber(expression: string): FhirFault {
  return fault(
    'invalid',
    'This is not a valid NHS number. An NHS number has ten digits, the last of which is a modulus-11 check digit.',
    {
      code: 'value',
      expression: [expression],
      details: spineCoding('INVALID_NHS_NUMBER'),
    },
  );
}
