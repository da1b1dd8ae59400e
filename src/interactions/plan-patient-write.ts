import type { Patient } from 'fhir/r4.js';
import type { Caller } from '../cpis/caller.ts';
import { patientLabels, submittersOf } from '../cpis/labels.ts';
import { invalidNhsNumber, isNhsNumber, nhsNumberSystem } from '../cpis/nhs-number.ts';
import { matchPatient } from '../cpis/patient-match.ts';
import { isHeld } from '../cpis/plan.ts';
import { FhirFault, fault, type Issue } from '../fhir/fault.ts';
import type { StoredResource, Touch } from '../store/store.ts';
import { checkIfMatch } from './etag.ts';
import type { FhirAnswer } from './interaction.ts';
import type { PlannedWrite } from './planned-write.ts';
import type { InteractionPorts } from './ports.ts';
import { answerWrite, buildResourceWrite, contentOf } from './resource-write.ts';
import type { View } from './view.ts';

const matchedOnly: Issue = {
  severity: 'information',
  code: 'informational',
  diagnostics: 'The Patient is known under this NHS number and birth date: its recorded details stay as they are.',
  expression: ['Patient'],
};

export interface PatientSubmission {
  readonly patient: Patient;
  /** The id that the request names; undefined on a create, where the NHS number makes it. */
  readonly requestedId: string | undefined;
  readonly ifMatch: string | undefined;
}

/** The NHS number of a submitted Patient, which is its id. */
function nhsNumberOf(patient: Patient): string {
  const index = (patient.identifier ?? []).findIndex((identifier) => identifier.system === nhsNumberSystem);
  const value = patient.identifier?.[index]?.value ?? '';
  if (!isNhsNumber(value)) throw invalidNhsNumber(`Patient.identifier[${Math.max(index, 0)}].value`);
  return value;
}

/** Whether this authority may correct the Patient: it alone holds plans on it, or nobody does and it alone submitted it. */
function mayCorrect(authorityId: string, holders: ReadonlySet<string>, submitters: readonly string[]): boolean {
  if (holders.size > 0) return holders.size === 1 && holders.has(authorityId);
  return submitters.every((id) => id === authorityId);
}

function refuseOtherId(submission: PatientSubmission, nhsNumber: string): void {
  const { requestedId, patient } = submission;
  const named = requestedId ?? patient.id ?? nhsNumber;
  if (named !== nhsNumber || (patient.id !== undefined && patient.id !== nhsNumber)) {
    throw fault('invalid', 'Patient.id is the NHS number: the id and the NHS number of this submission differ.', {
      code: 'value',
      expression: ['Patient.id'],
    });
  }
}

/**
 * Plans the submission of a Patient: the first one creates `Patient/<NHS number>`, a later one is matched against it.
 * Throws 409 when the birth date tells of another child.
 */
export async function planPatientWrite(
  submission: PatientSubmission,
  caller: Caller,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const { patient } = submission;
  const own = caller.organisation.id;
  const id = nhsNumberOf(patient);
  refuseOtherId(submission, id);
  const stored = await view.read('Patient', id);
  const plans = (await view.plansOf(id)).filter(isHeld);
  const holders = new Set(plans.map((plan) => plan.authorityId));
  const current: StoredResource | undefined = stored.kind === 'found' ? stored.resource : undefined;
  checkIfMatch(submission.ifMatch, current?.version ?? 0);
  const known = current === undefined ? undefined : (JSON.parse(current.body) as Patient);
  const submitters = current === undefined ? [] : submittersOf(current.labels);
  let warnings: readonly Issue[] = [];
  if (known !== undefined && !mayCorrect(own, holders, submitters)) {
    const match = matchPatient(patient, known);
    if (match.kind === 'different-person') throw new FhirFault('conflict', [match.issue]);
    warnings = match.warnings;
  }
  // Who had matched another birth date has to match again before it can hold a plan.
  const matched = known?.birthDate === patient.birthDate ? submitters : [];
  const labels = patientLabels(holders, [...matched, own]);
  const access = {
    patientIds: [id],
    // Who holds no plan submits unseen: only that another authority holds one is shared.
    custodianIds: holders.has(own) ? [...holders].sort() : [own],
    notifyIds: [],
    inAccessHistory: false,
  };
  const touch: Touch = { type: 'Patient', id, expectRevision: current?.revision ?? 0, labels };
  if (current !== undefined && known !== undefined && contentOf({ ...patient, id }) === contentOf(known)) {
    const { version, lastUpdatedMs, body } = current;
    const location = `Patient/${id}/_history/${version}`;
    return {
      writes: [],
      touches: submitters.includes(own) ? [] : [touch],
      access,
      answer: { kind: 'ok', body, versionId: String(version), lastUpdatedMs, location, warnings },
    };
  }
  if (current !== undefined && holders.size > 0 && !holders.has(own)) {
    // Who holds no plan is matched and changes nothing; what the holders have recorded is not shown to it either.
    const answer: FhirAnswer = { kind: 'ok', location: `Patient/${id}`, warnings: [...warnings, matchedOnly] };
    return { writes: [], touches: submitters.includes(own) ? [] : [touch], access, answer };
  }
  const write = buildResourceWrite(
    patient,
    id,
    {
      version: (current?.version ?? 0) + 1,
      method: submission.requestedId === undefined ? 'POST' : 'PUT',
      labels,
      uniqueKeys: [],
    },
    ports,
  );
  return { writes: [write], touches: [touch], access, answer: { ...answerWrite(write), warnings } };
}
