import type { Patient } from 'fhir/r4.js';
import { authorise, mayRead } from '../../cpis/access-policy.ts';
import type { Caller } from '../../cpis/caller.ts';
import { checkBirthDate, checkPlan } from '../../cpis/check-plan.ts';
import { patientLabels, submittersOf } from '../../cpis/labels.ts';
import { invalidNhsNumber, isNhsNumber, nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { matchPatient } from '../../cpis/patient-match.ts';
import { isHeld, type Plan } from '../../cpis/plan.ts';
import { planLabels } from '../../cpis/plan-labels.ts';
import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { RevisionGuard, StoredResource } from '../../store/store.ts';
import type { FhirAnswer } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { refuseErrors } from './check-resource.ts';
import { checkIfMatch } from './etag.ts';
import type { PlannedWrite } from './planned-write.ts';
import { answerWrite, buildResourceWrite, contentOf } from './resource-write.ts';

const matchedOnly: Issue = {
  severity: 'information',
  code: 'informational',
  diagnostics: 'A Patient with this NHS number and birth date is already recorded. Its details were not changed.',
  expression: ['Patient'],
};
const birthDateCorrected: Issue = {
  severity: 'warning',
  code: 'business-rule',
  diagnostics: 'The birth date recorded for this NHS number was different and has been corrected.',
  expression: ['Patient.birthDate'],
};

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

/** What an authority may do with the recorded Patient. */
interface Standing {
  /** It may replace the details: it alone holds plans on the Patient, or nobody does. */
  readonly mayReplace: boolean;
  /** It holds a plan, or nobody does and it submitted the Patient: it may name the version, and repeat what it sent. */
  readonly takesPart: boolean;
  /** A submission is compared with the details. Without plans, they may be compared only if nobody else stated them. */
  readonly isCompared: boolean;
}

function standingOf(authorityId: string, holders: ReadonlySet<string>, submitters: readonly string[]): Standing {
  const isHolder = holders.has(authorityId);
  if (holders.size > 0) return { mayReplace: isHolder && holders.size === 1, takesPart: isHolder, isCompared: true };
  const takesPart = submitters.includes(authorityId);
  return { mayReplace: true, takesPart, isCompared: takesPart && submitters.length === 1 };
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

/** The recorded Patient that a submission is compared with. */
interface Known {
  readonly current: StoredResource;
  readonly patient: Patient;
  /** Authorities that hold a plan on it. */
  readonly holders: ReadonlySet<string>;
  readonly submitters: readonly string[];
}

/**
 * Compares a submission with the recorded Patient, and returns warnings. Throws `conflict` for another child: another
 * birth date. The only holder of plans may change the birth date if the name agrees, or if it names the version to
 * replace. A Patient without plans refuses nothing, and is compared only with what the same authority submitted before.
 */
function match(
  { patient, ifMatch }: PatientSubmission,
  known: Known,
  { mayReplace, isCompared }: Standing,
): readonly Issue[] {
  if (!isCompared) return [];
  const { wrongChild, nameWarning } = matchPatient(patient, known.patient);
  const warnings = nameWarning === undefined ? [] : [nameWarning];
  if (wrongChild === undefined) return warnings;
  if (known.holders.size > 0 && (!mayReplace || (nameWarning !== undefined && ifMatch === undefined))) {
    throw new FhirFault('conflict', [wrongChild]);
  }
  return [birthDateCorrected, ...warnings];
}

/** Throws for a birth date that cannot be, and for one that breaks a rule of an open plan on the Patient. */
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

/** Plans a submission that leaves the recorded details as they are. */
function planMatched(
  { current, holders, submitters }: Known,
  warnings: readonly Issue[],
  caller: Caller,
  access: PlannedWrite['access'],
): PlannedWrite {
  const { id, version, lastUpdatedMs, body, revision } = current;
  const own = caller.organisation.id;
  const labels = patientLabels(holders, [...submitters, own]);
  const guards = submitters.includes(own) ? [] : [{ type: 'Patient', id, expectRevision: revision, labels }];
  // The details recorded by the holders are not disclosed to an authority without a plan.
  const shown = (holders.has(own) || (holders.size === 0 && warnings.length === 0)) && mayRead(caller, 'Patient');
  const answer: FhirAnswer = shown
    ? {
        kind: 'ok',
        body,
        versionId: String(version),
        lastUpdatedMs,
        location: `Patient/${id}/_history/${version}`,
        warnings,
      }
    : { kind: 'ok', location: `Patient/${id}`, warnings };
  return { writes: [], guards, access, answer };
}

/**
 * Plans the submission of a Patient. The first one creates `Patient/<NHS number>`. A later one replaces it while nobody
 * holds a plan on it; after that it is matched, and corrects the Patient if the authority may. Throws `conflict` for
 * another child.
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
  const stored = await view.read('Patient', id);
  const plans = (await view.plansOf(id)).filter(isHeld);
  const holders = new Set(plans.map((plan) => plan.authorityId));
  const current = stored.kind === 'found' ? stored.resource : undefined;
  const submitters = current === undefined ? [] : submittersOf(current.labels);
  // An authority without a plan is not disclosed to the holders.
  const custodianIds = holders.has(own) ? [...holders].sort() : [own];
  const access = { patientIds: [id], custodianIds, notifyIds: [], inAccessHistory: false };
  let warnings: readonly Issue[] = [];
  let matched = submitters;
  if (current !== undefined) {
    const known: Known = { current, patient: JSON.parse(current.body) as Patient, holders, submitters };
    const standing = standingOf(own, holders, submitters);
    warnings = match(submission, known, standing);
    checkIfMatch(ifMatch, standing.takesPart ? current.version : 0);
    const isSame = contentOf({ ...patient, id }) === contentOf(known.patient);
    // What others submitted for a Patient without plans is replaced even by the same, so that the answer tells nothing.
    if (!standing.mayReplace || (isSame && standing.takesPart)) {
      const notes = isSame && standing.takesPart ? [] : [...warnings, matchedOnly];
      return planMatched(known, notes, caller, access);
    }
    // Authorities that matched the earlier birth date must match again before they can hold a plan.
    if (known.patient.birthDate !== patient.birthDate) matched = [];
  } else checkIfMatch(ifMatch, 0);
  authorise(caller, 'Patient', current === undefined ? 'create' : 'update');
  refuseBirthDate(patient, [], visibilityRule(ports).today);
  const labels = patientLabels(holders, [...matched, own]);
  const method = requestedId === undefined ? 'POST' : 'PUT';
  const version = (current?.version ?? 0) + 1;
  const write = buildResourceWrite(patient, id, { version, method, labels, uniqueKeys: [] }, ports);
  const guard = { type: 'Patient', id, expectRevision: current?.revision ?? 0, labels };
  const effect = current === undefined ? 'create' : 'update';
  return {
    writes: [write],
    guards: [guard, ...(await relabelPlans(plans, patient.birthDate ?? '', view))],
    // A patch is audited as a patch.
    access: { ...access, ...(patches ? {} : { interaction: effect }) },
    answer: { ...answerWrite(write), warnings },
    // The unit may correct the plans together with the birth date.
    async check(unit) {
      const plansThen = (await unit.plansOf(id)).filter(isHeld);
      refuseBirthDate(patient, plansThen, visibilityRule(ports).today);
    },
  };
}
