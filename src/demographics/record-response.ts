import { type Coding, type FhirFault, fault, type Issue } from '../fhir/fault.ts';
import type { Match } from './demographics.ts';

/** NHS England's responses to a record, and CPF05 to a file (CP-IS Domain Message Specification). */
const displays = {
  CPR01: 'No match for the NHS number',
  CPR02: 'Sensitive record',
  CPR03: 'NHS number not verified',
  CPR05: 'NHS number superseded',
  CPF05: 'Demographics service not available',
} as const;

const recordResponseSystem = 'https://cpis-fhir.example.org/fhir/CodeSystem/cpis-record-response';

const codingOf = (code: keyof typeof displays): Coding => ({
  system: recordResponseSystem,
  code,
  display: displays[code],
});

/** What the submission of a person's details comes to. */
export type RecordResponse =
  | { readonly kind: 'accepted'; readonly warnings: readonly Issue[] }
  /** `newNumber`: the NHS number in use, for an authority that holds the child. */
  | { readonly kind: 'refused'; readonly fault: FhirFault; readonly newNumber?: string };

const refuse = (refusal: FhirFault): RecordResponse => ({ kind: 'refused', fault: refusal });

const noMatch = (): FhirFault =>
  fault(
    'unprocessable',
    'The demographics service has no person with this NHS number. Check the number, then submit the record again.',
    { code: 'not-found', expression: ['Patient.identifier'], details: codingOf('CPR01') },
  );

const sensitive = (): FhirFault =>
  fault(
    'unprocessable',
    'The record of this person is sensitive: the server may not hold information about them. Share it by other means.',
    { expression: ['Patient'], details: codingOf('CPR02') },
  );

/** Names the birth date only if the name agrees, so that who knows a number alone learns no detail. */
const notVerified = (nameAgrees: boolean): FhirFault =>
  fault(
    'conflict',
    nameAgrees
      ? 'The NHS number is not verified: the birth date is not that of the demographics service. Check it, then submit the record again.'
      : 'The NHS number is not verified: the details are not those of the demographics service. Check the number and the details, then submit the record again.',
    { expression: [nameAgrees ? 'Patient.birthDate' : 'Patient'], details: codingOf('CPR03') },
  );

const superseded = (): FhirFault =>
  fault('unprocessable', 'This NHS number has been replaced. Submit the record under the new number.', {
    code: 'deleted',
    expression: ['Patient.identifier'],
    details: codingOf('CPR05'),
  });

const unavailable = (retryAfterS: number): FhirFault =>
  fault(
    'transient',
    'The demographics service cannot be asked at present. The record was not stored: submit it again after Retry-After.',
    { retryAfterS, details: codingOf('CPF05') },
  );

const warning = (diagnostics: string, expression: string): Issue => ({
  severity: 'warning',
  code: 'business-rule',
  diagnostics,
  expression: [expression],
});

const otherName = warning(
  'The name is not the one that the demographics service records. Check that it is the same child.',
  'Patient.name',
);
const otherBirthDate = warning(
  'The birth date is not the one that the demographics service records. Check which is right.',
  'Patient.birthDate',
);
const dead = warning('The demographics service records that this person has died.', 'Patient');

/**
 * Returns the response to a submitted Patient. `holdsChild`: the authority holds a plan on this NHS number; it may then
 * correct the birth date before the demographics service does, as after an age assessment.
 */
export function respond(match: Match, { holdsChild }: { readonly holdsChild: boolean }): RecordResponse {
  if (match.kind === 'unchecked') return { kind: 'accepted', warnings: [] };
  if (match.kind === 'unavailable') return refuse(unavailable(match.retryAfterS));
  if (match.kind === 'no-match') return refuse(noMatch());
  const { birthDate, nameAgrees, isSuperseded, person } = match;
  const isVerified = birthDate === 'agrees' || (holdsChild && nameAgrees);
  if (!isVerified) return refuse(notVerified(nameAgrees));
  if (person.isSensitive) return refuse(sensitive());
  if (isSuperseded)
    return { kind: 'refused', fault: superseded(), ...(holdsChild ? { newNumber: person.number } : {}) };
  const warnings = [
    ...(birthDate === 'agrees' ? [] : [otherBirthDate]),
    ...(nameAgrees ? [] : [otherName]),
    ...(person.isDead ? [dead] : []),
  ];
  return { kind: 'accepted', warnings };
}
