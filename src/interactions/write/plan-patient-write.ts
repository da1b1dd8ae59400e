import type { Patient } from 'fhir/r4.js';
import { authorise } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { checkBirthDate, checkPlan } from '../../cpis/check-plan.ts';
import { invalidNhsNumber, isNhsNumber, nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { matchPatient, warnOfCorrection, wrongChild } from '../../cpis/patient-match.ts';
import { isHeld, type Plan } from '../../cpis/plan.ts';
import { planLabels } from '../../cpis/plan-labels.ts';
import { statementLabels } from '../../cpis/statement.ts';
import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { RevisionGuard } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { checkDemographics } from './check-demographics.ts';
import { refuseErrors } from './check-resource.ts';
import { buildChild, guardChild, readChild } from './child-record.ts';
import { checkIfMatch } from './etag.ts';
import type { PlannedWrite } from './planned-write.ts';
import { answerStored, answerWrite, buildResourceWrite, contentOf } from './resource-write.ts';

export interface PatientSubmission {
  readonly patient: Patient;
  /** Id in the request; undefined for a create, where the NHS number is the id. */
  readonly requestedId: string | undefined;
  readonly ifMatch: string | undefined;
  readonly patches?: boolean;
}

/** Returns the NHS number of a submitted Patient, which is its id. */
function nhsNumberOf(patient: Patient): string {
  const index = (patient.identifier ?? []).findIndex((identifier) => identifier.system === nhsNumberSystem);
  const value = patient.identifier?.[index]?.value ?? '';
  if (!isNhsNumber(value)) throw invalidNhsNumber(`Patient.identifier[${Math.max(index, 0)}].value`);
  return value;
}

function refuseOtherNumber(
  { requestedId, patient }: Pick<PatientSubmission, 'patient' | 'requestedId'>,
  nhsNumber: string,
): void {
  const named = requestedId ?? patient.id ?? nhsNumber;
  if (named !== nhsNumber || (patient.id !== undefined && patient.id !== nhsNumber)) {
    throw fault('invalid', 'Patient.id must be the NHS number. The id and the NHS number of this submission differ.', {
      code: 'value',
      expression: ['Patient.id'],
    });
  }
}

/** Checks the rules of a Patient that need no other record: its number, its id and a birth date in the past. */
export function checkSubmittedPatient(
  submission: Pick<PatientSubmission, 'patient' | 'requestedId'>,
  ports: InteractionPorts,
): void {
  refuseOtherNumber(submission, nhsNumberOf(submission.patient));
  refuseBirthDate(submission.patient, [], visibilityRule(ports).today);
}

/**
 * Compares a submission with what the same authority stated before, and returns warnings. Throws `conflict` if birth date and
 * name both differ while the authority holds a plan, unless the submission names the version to replace.
 */
function match({ patient, ifMatch }: PatientSubmission, known: Patient, holdsPlan: boolean): readonly Issue[] {
  const found = matchPatient(patient, known);
  if (holdsPlan && ifMatch === undefined && found.birthDateDiffers && found.nameDiffers) {
    throw new FhirFault('conflict', [wrongChild]);
  }
  return warnOfCorrection(found);
}

/** Throws for a birth date that cannot be, and for one that breaks a rule of an open plan of the same authority. */
function refuseBirthDate(patient: Patient, plans: readonly Plan[], today: string): void {
  const birthDate = patient.birthDate ?? '';
  refuseErrors(checkBirthDate(birthDate, today));
  const open = plans.filter(({ end }) => end === undefined);
  const issues = open.flatMap((plan) => checkPlan(plan, birthDate, today));
  refuseErrors(issues.map((issue) => ({ ...issue, expression: ['Patient.birthDate'] })));
}

/** Builds the guards that give each plan the last day that follows from this birth date. */
async function relabelPlans(plans: readonly Plan[], birthDate: string, view: View): Promise<readonly RevisionGuard[]> {
  const guards: RevisionGuard[] = [];
  for (const plan of plans) {
    const stored = await view.read('Flag', plan.id);
    if (stored.kind !== 'found') continue;
    const labels = planLabels(plan, birthDate, stored.resource.labels);
    if (labels.join() === stored.resource.labels.join()) continue;
    guards.push({ type: 'Flag', id: plan.id, expectRevision: stored.resource.revision, labels });
  }
  return guards;
}

/**
 * Plans the submission of a Patient: what this authority states of the child. It is compared only with what the same
 * authority stated before, so that the answer discloses nothing of another authority.
 */
export async function planPatientWrite(
  submission: PatientSubmission,
  caller: Caller,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const { patient, ifMatch, requestedId, patches = false } = submission;
  const own = caller.organisation.id;
  const id = nhsNumberOf(patient);
  refuseOtherNumber(submission, id);
  const child = await readChild(view, id);
  const stored = await view.read('Patient', id);
  const plans = (await view.plansOf(id)).filter((plan) => plan.authorityId === own && isHeld(plan));
  const current = stored.kind === 'found' ? stored.resource : undefined;
  const access = { patientIds: [id], custodianIds: [own], notifyIds: [], inAccessHistory: false };
  const known = current === undefined ? undefined : (JSON.parse(current.body) as Patient);
  const warnings = known === undefined ? [] : match(submission, known, plans.length > 0);
  checkIfMatch(ifMatch, current?.version ?? 0);
  const isKnown = known !== undefined && contentOf({ ...patient, id }) === contentOf(known);
  const statement = { patient, child, authorityId: own, isKnown };
  if (current !== undefined && isKnown) {
    await checkDemographics(statement, view, ports);
    return { writes: [], guards: [], access, answer: answerStored(current) };
  }
  const effect = current === undefined ? 'create' : 'update';
  authorise(caller, 'Patient', effect);
  refuseBirthDate(patient, [], visibilityRule(ports).today);
  const checked = await checkDemographics(statement, view, ports);
  const method = requestedId === undefined ? 'POST' : 'PUT';
  const version = (current?.version ?? 0) + 1;
  const next = { version, method, labels: statementLabels(own, plans), uniqueKeys: [] } as const;
  const write = buildResourceWrite(patient, id, next, ports);
  return {
    writes: [write, ...(child.revision === 0 ? [buildChild(id, ports, checked.labels)] : [])],
    guards: [
      child.revision === 0 ? guardChild(child) : guardChild(child, checked.labels),
      ...(await relabelPlans(plans, patient.birthDate ?? '', view)),
    ],
    // A patch is audited as a patch.
    access: { ...access, ...(patches ? {} : { interaction: effect }) },
    answer: { ...answerWrite(write), warnings: [...warnings, ...checked.warnings] },
    // The unit may correct the plans together with the birth date.
    async check(unit) {
      const plansThen = (await unit.plansOf(id)).filter((plan) => plan.authorityId === own && isHeld(plan));
      refuseBirthDate(patient, plansThen, visibilityRule(ports).today);
    },
  };
}
