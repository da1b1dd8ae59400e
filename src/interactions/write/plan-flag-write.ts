import type { Flag, Patient } from 'fhir/r4.js';
import { notifiedOfWrite, visibleHolders } from '../../cpis/audience.ts';
import type { Caller } from '../../cpis/caller.ts';
import { checkSubmittedPlan, warnOfPlan } from '../../cpis/check-plan.ts';
import { lastDayLabelled } from '../../cpis/labels.ts';
import { isHeld, type Plan, parsePlan, planKeys } from '../../cpis/plan.ts';
import { confirmedOn, markConfirmed, planLabels } from '../../cpis/plan-labels.ts';
import { FhirFault, fault } from '../../fhir/fault.ts';
import type { ReadResult, StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { checkDemographics } from './check-demographics.ts';
import { refuseErrors } from './check-resource.ts';
import { guardChild, readChild, relabelStatement } from './child-record.ts';
import { leaveChild, planMove, replacePlan } from './plan-move.ts';
import { refuseBeforeTransfer, refuseOverlap, staysWithdrawn } from './plan-references.ts';
import type { PlannedWrite } from './planned-write.ts';
import { answerStored, answerWrite, buildDeletion, buildResourceWrite, contentOf, guardOf } from './resource-write.ts';
import { type FlagSubmission, submitFlag } from './submitted-flag.ts';

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

/** Returns what the caller stated of the child. Throws if it stated nothing, unless it ends a plan of its own. */
function statedBy(result: ReadResult, ends: boolean): Patient | undefined {
  if (result.kind === 'found') return JSON.parse(result.resource.body) as Patient;
  if (ends) return undefined;
  throw fault(
    'unprocessable',
    'This authority has not submitted the Patient of this plan. Submit the Patient, with the birth date, ' +
      'before the Flag or together with it.',
    { code: 'business-rule', expression: ['Flag.subject'] },
  );
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
function refuseRevival({ current, isVersionNamed }: FlagSubmission, plan: Plan): void {
  if (current === undefined || isVersionNamed || !isHeld(plan) || isHeld(parsePlan(current))) return;
  throw staysWithdrawn('Flag.status');
}

/** Throws a refusal of the Patient of a plan as one of its subject. */
function inSubject(error: unknown): never {
  if (!(error instanceof FhirFault)) throw error;
  throw error.withIssues(error.issues.map((issue) => ({ ...issue, expression: ['Flag.subject'] })));
}

/** Returns the keys of references that the recorded Flag does not have. It keeps those that it has. */
function newKeys(flag: Flag, known: Flag | undefined, { organisation }: Caller): readonly string[] {
  const kept = new Set(known === undefined ? [] : planKeys(known, organisation.id));
  return planKeys(flag, organisation.id).filter((key) => !kept.has(key));
}

/** Plans the creation or amendment of a plan. Throws a fault with all broken rules at once. */
export async function planFlagWrite(
  submission: FlagSubmission,
  caller: Caller,
  view: View,
  ports: InteractionPorts,
): Promise<PlannedWrite> {
  const { current, id } = submission;
  const { flag, known, plan, ends, issues, movedFrom, warnings } = submitFlag(submission, caller, ports);
  refuseRevival(submission, plan);
  const { patientId } = plan;
  const child = await readChild(view, patientId);
  const subject = await view.read('Patient', patientId);
  const plans = await view.plansOf(patientId);
  const stated = statedBy(subject, ends);
  const { birthDate, gender } = stated ?? {};
  if (submission.onlyEnds === true && !ends) throw patientRefused();
  if (current === undefined) await refuseBeforeTransfer(flag, patientId, caller, view, ports);
  const { today } = visibilityRule(ports);
  // A plan ends whatever birth date is stated.
  refuseErrors([...issues, ...checkSubmittedPlan(plan, ends ? undefined : (birthDate ?? ''), today)]);
  const access = describePlanAccess(caller, plan, plans, ports);
  const committed = () => ports.planSubmitted(caller.organisation.id, id);
  const labels = current?.labels ?? [];
  const confirmed = markConfirmed(planLabels(plan, birthDate, labels), today);
  if (known !== undefined && current !== undefined && contentOf(known) === contentOf(flag)) {
    // Only an open plan has to be confirmed, once a day.
    const confirms = plan.status === 'active' && confirmedOn(labels) !== today;
    const guards = confirms ? [{ ...guardOf(current), labels: confirmed }] : [];
    const own = { ...access, notifyIds: [], custodianIds: [caller.organisation.id] };
    return { writes: [], guards, access: own, answer: { ...answerStored(current), warnings }, committed };
  }
  let childLabels = child.labels;
  if (!ends && stated !== undefined) {
    const statement = { patient: stated, child, authorityId: caller.organisation.id, isKnown: true };
    ({ labels: childLabels } = await checkDemographics(statement, view, ports).catch(inSubject));
  }
  const recorded = current === undefined ? undefined : parsePlan(current);
  const from =
    movedFrom === undefined || recorded === undefined
      ? undefined
      : await planMove({ plan, recorded, isStated: submission.isVersionNamed }, view, ports);
  const write = buildResourceWrite(
    flag,
    id,
    {
      version: (current?.version ?? 0) + 1,
      method: current === undefined ? 'POST' : 'PUT',
      labels: confirmed,
      uniqueKeys: newKeys(flag, known, caller),
    },
    ports,
  );
  return {
    writes: [write],
    // Without the guard of the Flag, marks that were set meanwhile would be lost.
    guards: [
      guardChild(child, childLabels),
      ...relabelStatement(subject, caller.organisation.id, replacePlan(plans, id, plan)),
      ...(from?.guards ?? []),
      ...(current === undefined ? [] : [guardOf(current)]),
    ],
    // Other authorities are notified of a move as of an end under one number and of a creation under the other.
    ...(from === undefined
      ? { access }
      : {
          access: { ...access, interaction: 'create' },
          accessFrom: { ...describePlanAccess(caller, from.plan, from.plans, ports), interaction: 'update' },
        }),
    answer: {
      ...answerWrite(write),
      warnings: [...warnings, ...warnOfPlan(plan, gender, othersOf(plan, plans), today)],
    },
    check: (unit) =>
      refuseOverlap({ ...plan, lastDay: lastDayLabelled(confirmed) }, from === undefined ? recorded : undefined, unit),
    committed,
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
  const { plans, guards } = await leaveChild(plan, view);
  return {
    writes: [buildDeletion(current, ports)],
    guards,
    access: describePlanAccess(caller, plan, plans, ports),
    answer: { kind: 'deleted', versionId: String(current.version + 1) },
  };
}
