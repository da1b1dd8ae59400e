import type { Patient } from 'fhir/r4.js';
import type { Issue } from '../fhir/fault.ts';
import { normaliseText } from '../fhir/search/normalise-text.ts';

/** Result of comparing a submitted Patient with the recorded one. */
export interface PatientMatch {
  /** Set if the birth date differs: the number is most likely another child's. */
  readonly wrongChild: Issue | undefined;
  /** Set if no name agrees (first given and family name, ignoring case and accents). */
  readonly nameWarning: Issue | undefined;
}

function names(patient: Patient): Set<string> {
  const found = new Set<string>();
  for (const name of patient.name ?? []) {
    found.add(normaliseText([...(name.given ?? []).slice(0, 1), name.family ?? name.text ?? ''].join(' ')));
  }
  return found;
}

/** Compares a submitted Patient with the one stored under the same NHS number. */
export function matchPatient(submitted: Patient, known: Patient): PatientMatch {
  const knownNames = names(known);
  const agrees = [...names(submitted)].some((name) => knownNames.has(name));
  return {
    wrongChild: submitted.birthDate === known.birthDate ? undefined : wrongChild,
    nameWarning: agrees ? undefined : differingName,
  };
}

const wrongChild: Issue = {
  severity: 'error',
  code: 'conflict',
  diagnostics:
    'Wrong child: a different birth date is recorded for this NHS number. The details were not stored. Check the ' +
    'number against PDS, then submit the record again.',
  expression: ['Patient.birthDate'],
};
const differingName: Issue = {
  severity: 'warning',
  code: 'business-rule',
  diagnostics:
    'The name differs from the one recorded for this NHS number and birth date. Check that it is the same child.',
  expression: ['Patient.name'],
};
