import type { Flag, Patient } from 'fhir/r4.js';
import { notifiedOfWrite, visibleHolders } from '../../cpis/audience.ts';
import type { Caller } from '../../cpis/caller.ts';
import { checkPlan, warnOfPlan } from '../../cpis/check-plan.ts';
import { patientLabels, submittersOf } from '../../cpis/labels.ts';
import { invalidNhsNumber, isNhsNumber } from '../../cpis/nhs-number.ts';
import { endsPlan, extractPlan, isHeld, type Plan, parsePlan, planKeys } from '../../cpis/plan.ts';
import { confirmedOn, markConfirmed, planLabels } from '../../cpis/plan-labels.ts';
import { type FhirFault, fault } from '../../fhir/fault.ts';
import type { ReadResult, RevisionGuard, StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { refuseErrors } from './check-resource.ts';
import type { PlannedWrite } from './planned-write.ts';
import { answerStored, answerWrite, buildDeletion, buildResourceWrite, contentOf, guardOf } from './resource-write.ts';

export interface FlagSubmission {
  readonly flag: Flag;
  /** Id of the new Flag, or of `current`. */
  readonly id: string;
  /** Version to amend, owned by the caller; undefined for a new plan. */
  readonly current: StoredResource | undefined;
  /** Whether only an end or a withdrawal is accepted, because the Patient of the record was refused. */
  readonly onlyEnds?: boolean;
  /** Whether the request names the plan by id and version, and may therefore revive a withdrawn one. */
  readonly mayRevive: boolean;
}

/** Returns the NHS number that Flag.subject names, by `Patient/N` or the same under this server's base URL. */
function subjectOf(flag: Flag, baseUrl: string): string {
  const reference = flag.subject.reference ?? '';
  const local = reference.startsWith(`${baseUrl}/`) ? reference.slice(baseUrl.length + 1) : reference;
  const [type, id, ...rest] = local.split('/');
  if (type !== 'Patient' || id === undefined || rest.length > 0) {
    throw fault('unprocessable', 'Flag.subject must be a reference Patient/<NHS number> on this server.', {
      code: 'value',
      expression: ['Flag.subject.reference'],
    });
  }
  if (!isNhsNumber(id)) throw invalidNhsNumber('Flag.subject.reference');
  return id;
}

/** Throws if the body names another author than the caller's authority. */
function refuseForeignAuthor(flag: Flag, caller: Caller, baseUrl: string): void {
  const named = flag.author?.reference;
  const own = `Organization/${caller.organisation.id}`;
  if (flag.author !== undefined && named !== own && named !== `${baseUrl}/${own}`) {
    throw fault('forbidden', 'Flag.author names another authority. Leave it out, or name the authority that submits.', {
      expression: ['Flag.author'],
    });
  }
}

/**
 * Builds the guard that gives a Patient its labels after `changed` has replaced the plan with its id; undefined removes
 * the plan.
 */
function relabel(
  patient: StoredResource,
  plans: readonly Plan[],
  changedId: string,
  changed: Plan | undefined,
): RevisionGuard {
  const remaining = plans.filter((plan) => plan.id !== changedId);
  const holders = [...remaining, ...(changed === undefined ? [] : [changed])].filter(isHeld);
  const labels = patientLabels(
    holders.map((plan) => plan.authorityId),
    submittersOf(patient.labels),
  );
  return { type: 'Patient', id: patient.id, expectRevision: patient.revision, labels };
}

function describePlanAccess(
  caller: Caller,
  plan: Plan,
  plans: readonly Plan[],
  ports: InteractionPorts,
): PlannedWrite['access'] {
  // A plan that is withdrawn, and was before or is new, does not affect other authorities.
  const moves = isHeld(plan) || plans.some((known) => known.id === plan.id && isHeld(known));
  const holders = moves ? visibleHolders(plans, visibilityRule(ports)) : [];
  const notifyIds = notifiedOfWrite(caller.organisation.id, holders);
  return {
    patientIds: [plan.patientId],
    resource: `Flag/${plan.id}`,
    custodianIds: [...new Set([caller.organisation.id, ...notifyIds])].sort(),
    notifyIds,
    inAccessHistory: false,
  };
}

/**
 * Returns the Patient of a plan. Throws unless the caller has matched it by its birth date, or ends a plan of its own.
 */
function refuseUnmatched(result: ReadResult, caller: Caller, plans: readonly Plan[], ends: boolean): StoredResource {
  const own = caller.organisation.id;
  const matched =
    result.kind === 'found' &&
    (ends ||
      submittersOf(result.resource.labels).includes(own) ||
      plans.some((plan) => plan.authorityId === own && isHeld(plan)));
  if (result.kind !== 'found' || !matched) {
    throw fault(
      'unprocessable',
      'This authority has not submitted the Patient of this plan. Submit the Patient, with the birth date, ' +
        'before the Flag or together with it.',
      { code: 'business-rule', expression: ['Flag.subject'] },
    );
  }
  return result.resource;
}

/** A submitted plan, and the Flag it replaces. */
interface SubmittedFlag {
  /** The Flag to store, with its id, subject and author. */
  readonly flag: Flag;
  readonly known: Flag | undefined;
  readonly plan: Plan;
}

/** Sets the author and the subject of a submitted plan. Throws if it names another authority or changes the subject. */
function submitFlag(submission: FlagSubmission, caller: Caller, ports: InteractionPorts): SubmittedFlag {
  const { current, id } = submission;
  refuseForeignAuthor(submission.flag, caller, ports.baseUrl);
  const patientId = subjectOf(submission.flag, ports.baseUrl);
  const flag: Flag = {
    ...submission.flag,
    id,
    subject: { reference: `Patient/${patientId}` },
    author: { reference: `Organization/${caller.organisation.id}` },
  };
  const known = current === undefined ? undefined : (JSON.parse(current.body) as Flag);
  if (known !== undefined && known.subject.reference !== flag.subject.reference) {
    throw fault('unprocessable', 'The subject of a plan cannot change. Withdraw this plan and submit a new one.', {
      code: 'business-rule',
      expression: ['Flag.subject'],
    });
  }
  return { flag, known, plan: extractPlan(flag) };
}

/**
 * Checks the rules of a plan that need no other record: author, subject and dates. Throws the fault of a broken one.
 */
export function checkSubmittedFlag(submission: FlagSubmission, caller: Caller, ports: InteractionPorts): void {
  const { plan } = submitFlag(submission, caller, ports);
  // The age of the subject depends on its Patient.
  refuseErrors(checkPlan(plan, undefined, visibilityRule(ports).today));
}

/** Returns the fault of a plan that is refused because its Patient was. */
export function patientRefused(): FhirFault {
  return fault(
    'unprocessable',
    'The plan was refused because the Patient of the same record was refused. Correct the Patient, then submit both.',
    {
      code: 'business-rule',
      expression: ['Flag.subject'],
    },
  );
}

/** Returns the plans that the authority of `plan` holds besides it. */
function othersOf(plan: Plan, plans: readonly Plan[]): readonly Plan[] {
  return plans.filter(({ id, authorityId }) => id !== plan.id && authorityId === plan.authorityId);
}

/** Throws if the submission would revive a withdrawn plan without naming its version. */
function refuseRevival({ current, mayRevive }: FlagSubmission, plan: Plan): void {
  if (current === undefined || mayRevive || !isHeld(plan) || isHeld(parsePlan(current))) return;
  throw fault(
    'unprocessable',
    'This plan was withdrawn and stays withdrawn. If it was withdrawn in error, update it by its id with If-Match; for a ' +
      'new plan, submit a new reference.',
    { code: 'business-rule', expression: ['Flag.status'] },
  );
}

/** Plans the creation or amendment of a plan. Throws a fault with all broken rules at once. */
export async function planFlagWrite(
  submission: FlagSubmission,
  caller: Caller,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const { current, id } = submission;
  const { flag, known, plan } = submitFlag(submission, caller, ports);
  const { patientId } = plan;
  // The Patient is read before its plans, so that its revision guards decisions on them.
  const subject = await view.read('Patient', patientId);
  const plans = await view.plansOf(patientId);
  const ends = known !== undefined && endsPlan(plan, extractPlan(known));
  const patient = refuseUnmatched(subject, caller, plans, ends);
  const { birthDate, gender } = JSON.parse(patient.body) as Patient;
  if (submission.onlyEnds === true && !ends) throw patientRefused();
  refuseRevival(submission, plan);
  const { today } = visibilityRule(ports);
  // A plan ends whatever birth date is recorded.
  refuseErrors(checkPlan(plan, ends ? undefined : (birthDate ?? ''), today));
  const access = describePlanAccess(caller, plan, plans, ports);
  const labels = current?.labels ?? [];
  const confirmed = markConfirmed(planLabels(plan, birthDate ?? '', labels), today);
  if (known !== undefined && current !== undefined && contentOf(known) === contentOf(flag)) {
    // Only an open plan has to be confirmed, once a day.
    const confirms = plan.status === 'active' && confirmedOn(labels) !== today;
    return {
      writes: [],
      guards: confirms ? [{ ...guardOf(current), labels: confirmed }] : [],
      access: { ...access, notifyIds: [], custodianIds: [caller.organisation.id] },
      answer: answerStored(current),
    };
  }
  const write = buildResourceWrite(
    flag,
    id,
    {
      version: (current?.version ?? 0) + 1,
      method: current === undefined ? 'POST' : 'PUT',
      labels: confirmed,
      uniqueKeys: planKeys(flag, caller.organisation.id),
    },
    ports,
  );
  return {
    writes: [write],
    // Without the guard of the Flag, marks that were set meanwhile would be lost.
    guards: [relabel(patient, plans, id, plan), ...(current === undefined ? [] : [guardOf(current)])],
    access,
    answer: { ...answerWrite(write), warnings: warnOfPlan(plan, gender, othersOf(plan, plans)) },
  };
}

/** Plans the withdrawal of a plan by deletion. NHS staff no longer see it; its versions are kept. */
export async function planFlagDeletion(
  current: StoredResource,
  caller: Caller,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const plan = parsePlan(current);
  const patient = await view.read('Patient', plan.patientId);
  const plans = await view.plansOf(plan.patientId);
  if (patient.kind !== 'found') throw fault('exception', 'The Patient of this plan is missing.');
  return {
    writes: [buildDeletion(current, ports)],
    guards: [relabel(patient.resource, plans, current.id, undefined)],
    access: describePlanAccess(caller, plan, plans, ports),
    answer: { kind: 'deleted', versionId: String(current.version + 1) },
  };
}
