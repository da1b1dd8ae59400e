import type { Patient } from 'fhir/r4.js';
import type { Issue } from '../fhir/fault.ts';
import { normaliseText } from '../fhir/search/normalise-text.ts';

/** How a submitted Patient differs from what the same authority stated before. */
export interface PatientMatch {
  readonly birthDateDiffers: boolean;
  /** No name agrees (first given and family name, ignoring case and accents). */
  readonly nameDiffers: boolean;
}

function names(patient: Patient): Set<string> {
  const found = new Set<string>();
  for (const name of patient.name ?? []) {
    found.add(normaliseText([...(name.given ?? []).slice(0, 1), name.family ?? name.text ?? ''].join(' ')));
  }
  return found;
}

/** Compares two Patients with the same NHS number. A Patient without a name agrees with every name. */
export function matchPatient(submitted: Patient, known: Patient): PatientMatch {
  const knownNames = names(known);
  return {
    birthDateDiffers: submitted.birthDate !== known.birthDate,
    nameDiffers: knownNames.size > 0 && ![...names(submitted)].some((name) => knownNames.has(name)),
  };
}

/** Returns the warnings about a correction. */
export function warnOfCorrection({ birthDateDiffers, nameDiffers }: PatientMatch): readonly Issue[] {
  return [...(birthDateDiffers ? [correctedBirthDate] : []), ...(nameDiffers ? [correctedName] : [])];
}

/** The issue of a correction of both, which is most likely another child. */
export const wrongChild: Issue = {
  severity: 'error',
  code: 'conflict',
  diagnostics:
    'Wrong child: this authority stated another birth date and another name for this NHS number, and holds a plan on it. ' +
    'The details were not stored. Check the number against PDS. If it is the same child, update the Patient with If-Match.',
  expression: ['Patient.birthDate'],
};
const correctedBirthDate: Issue = {
  severity: 'warning',
  code: 'business-rule',
  diagnostics: 'This authority stated another birth date for this NHS number before. It has been corrected.',
  expression: ['Patient.birthDate'],
};
const correctedName: Issue = {
  severity: 'warning',
  code: 'business-rule',
  diagnostics:
    'This authority stated another name for this NHS number before. It has been corrected. Check that it is the same child.',
  expression: ['Patient.name'],
};
