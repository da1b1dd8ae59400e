import type { Bundle, BundleEntry, Flag, Patient } from 'fhir/r4.js';
import { nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { dueDateExtension, planKinds } from '../../cpis/plan.ts';
import { defined } from '../../fhir/defined.ts';
import type { ExtractedPlan } from './read-plan.ts';

function buildPatient({ nhsNumber, familyName, givenNames, birthDate }: ExtractedPlan): Patient {
  return {
    resourceType: 'Patient',
    id: nhsNumber,
    identifier: [{ system: nhsNumberSystem, value: nhsNumber }],
    name: [{ family: familyName, ...(givenNames.length === 0 ? {} : { given: [...givenNames] }) }],
    birthDate,
  };
}

function statusOf({ withdrawn, end }: ExtractedPlan): Flag['status'] {
  if (withdrawn) return 'entered-in-error';
  return end === undefined ? 'active' : 'inactive';
}

function buildFlag(plan: ExtractedPlan, referenceSystem: string): Flag {
  const { reference, nhsNumber, kind, start, end, dueDate } = plan;
  return {
    resourceType: 'Flag',
    ...(dueDate === undefined ? {} : { extension: [{ url: dueDateExtension, valueDate: dueDate }] }),
    identifier: [{ system: referenceSystem, value: reference }],
    status: statusOf(plan),
    code: { coding: [{ system: 'http://snomed.info/sct', code: kind, display: planKinds[kind].display }] },
    subject: { reference: `Patient/${nhsNumber}` },
    period: defined({ start, end }),
  };
}

/**
 * Builds a batch with two entries for each plan, the Patient and the Flag. Both are updates, so that sending the batch
 * again changes nothing. `referenceSystem` is the namespace of the authority's references.
 */
export function buildBatch(plans: readonly ExtractedPlan[], referenceSystem: string): Bundle {
  const entry = plans.flatMap((plan): BundleEntry[] => {
    const criteria = new URLSearchParams({
      identifier: `${escapeValue(referenceSystem)}|${escapeValue(plan.reference)}`,
    });
    return [
      { resource: buildPatient(plan), request: { method: 'PUT', url: `Patient/${plan.nhsNumber}` } },
      { resource: buildFlag(plan, referenceSystem), request: { method: 'PUT', url: `Flag?${criteria}` } },
    ];
  });
  return { resourceType: 'Bundle', type: 'batch', entry };
}

/** https://hl7.org/fhir/R4/search.html#escaping */
function escapeValue(text: string): string {
  return text.replaceAll(/[\\,|$]/g, (mark) => `\\${mark}`);
}
