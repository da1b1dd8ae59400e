import type { Bundle, BundleEntry, Flag, Patient } from 'fhir/r4.js';
import { nhsNumberSystem } from '../cpis/nhs-number.ts';
import { dueDateExtension } from '../cpis/plan.ts';
import { defined } from '../fhir/defined.ts';

/**
 * Yields valid NHS numbers from the range that is reserved for tests and never issued (999 000 0000 to 999 999 9999).
 */
export function* syntheticNhsNumbers(): Generator<string, never> {
  for (let body = 999_000_001; ; body = body >= 999_999_999 ? 999_000_001 : body + 1) {
    const digits = String(body);
    let sum = 0;
    for (let index = 0; index < 9; index += 1) sum += Number(digits[index]) * (10 - index);
    const check = (11 - (sum % 11)) % 11;
    if (check !== 10) yield `${digits}${check}`;
  }
}

const snomed = 'http://snomed.info/sct';

export interface SyntheticPlan {
  readonly nhsNumber: string;
  readonly family: string;
  readonly given: string;
  readonly birthDate: string;
  readonly kind: { readonly code: string; readonly display: string };
  readonly start: string;
  readonly end?: string;
  /** The expected date of delivery, of an unborn child's plan. */
  readonly dueDate?: string;
  /** The authority's reference of the plan. */
  readonly reference: string;
  /** The namespace of `reference`. */
  readonly referenceSystem: string;
}

export function buildPatient({ nhsNumber, family, given, birthDate }: SyntheticPlan): Patient {
  return {
    resourceType: 'Patient',
    id: nhsNumber,
    identifier: [{ system: nhsNumberSystem, value: nhsNumber }],
    name: [{ family, given: [given] }],
    birthDate,
  };
}

export function buildFlag({ nhsNumber, kind, start, end, dueDate, reference, referenceSystem }: SyntheticPlan): Flag {
  return {
    resourceType: 'Flag',
    ...(dueDate === undefined ? {} : { extension: [{ url: dueDateExtension, valueDate: dueDate }] }),
    identifier: [{ system: referenceSystem, value: reference }],
    status: end === undefined ? 'active' : 'inactive',
    code: { coding: [{ system: snomed, ...kind }] },
    subject: { reference: `Patient/${nhsNumber}` },
    period: defined({ start, end }),
  };
}

/** Builds the two entries of a record: the Patient by NHS number, the Flag by the authority's reference. */
export function buildRecord(plan: SyntheticPlan): BundleEntry[] {
  const { nhsNumber, reference, referenceSystem } = plan;
  const criteria = new URLSearchParams({ identifier: `${referenceSystem}|${reference}` });
  return [
    { resource: buildPatient(plan), request: { method: 'PUT', url: `Patient/${nhsNumber}` } },
    { resource: buildFlag(plan), request: { method: 'PUT', url: `Flag?${criteria}` } },
  ];
}

/** Builds a batch of independent records. */
export function buildBatch(plans: readonly SyntheticPlan[]): Bundle {
  return { resourceType: 'Bundle', type: 'batch', entry: plans.flatMap(buildRecord) };
}
