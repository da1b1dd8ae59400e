import type { Flag } from 'fhir/r4.js';
import type { Caller } from '../../cpis/caller.ts';
import { checkPlan } from '../../cpis/check-plan.ts';
import { mayMove, moved, stayed } from '../../cpis/move-plan.ts';
import { invalidNhsNumber, isNhsNumber } from '../../cpis/nhs-number.ts';
import { endsPlan, extractPlan, type Plan, parsePlan } from '../../cpis/plan.ts';
import { checkReferenceSystems, referenceSystemsOf } from '../../cpis/reference-systems.ts';
import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { refuseErrors } from './check-resource.ts';

export interface FlagSubmission {
  readonly flag: Flag;
  /** Id of the new Flag, or of `current`. */
  readonly id: string;
  /** Version to amend, owned by the caller; undefined for a new plan. */
  readonly current: StoredResource | undefined;
  /** Whether only an end or a withdrawal is accepted, because the Patient of the record was refused. */
  readonly onlyEnds?: boolean;
  /** Whether the request names the plan by id and version, and may therefore revive it, or move it after its end. */
  readonly isVersionNamed: boolean;
}

/** A submitted plan, and the Flag it replaces. */
export interface SubmittedFlag {
  /** The Flag to store, with its id, subject and author. */
  readonly flag: Flag;
  readonly known: Flag | undefined;
  readonly plan: Plan;
  /** Whether it ends or withdraws the recorded plan and claims nothing new. */
  readonly ends: boolean;
  /** Reference systems that the registry does not list. */
  readonly issues: readonly Issue[];
  /** The NHS number that the plan moves from; undefined unless it moves. */
  readonly movedFrom: string | undefined;
  readonly warnings: readonly Issue[];
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

/** Decides whether the plan moves to the submitted number. Throws if it may not. */
function decideMove(plan: Plan, { current, isVersionNamed }: FlagSubmission, ports: InteractionPorts) {
  const known = current === undefined ? undefined : parsePlan(current);
  if (known === undefined || known.patientId === plan.patientId) return undefined;
  const { today } = visibilityRule(ports);
  const move = mayMove(plan, { known, isStated: isVersionNamed, today });
  if (typeof move === 'string') return { move, from: known.patientId };
  throw new FhirFault('unprocessable', [move]);
}

/**
 * Sets the author and the subject of a submitted plan. Throws if it names another authority, or another subject that the plan
 * may not move to.
 */
export function submitFlag(submission: FlagSubmission, caller: Caller, ports: InteractionPorts): SubmittedFlag {
  const { current, id } = submission;
  refuseForeignAuthor(submission.flag, caller, ports.baseUrl);
  const patientId = subjectOf(submission.flag, ports.baseUrl);
  const author = { reference: `Organization/${caller.organisation.id}` };
  const submitted: Flag = { ...submission.flag, id, subject: { reference: `Patient/${patientId}` }, author };
  const known = current === undefined ? undefined : (JSON.parse(current.body) as Flag);
  const moving = decideMove(extractPlan(submitted), submission, ports);
  const stays = moving?.move === 'stays';
  const flag = stays ? { ...submitted, subject: { reference: `Patient/${moving.from}` } } : submitted;
  const plan = extractPlan(flag);
  const ends = known !== undefined && moving?.move !== 'moves' && endsPlan(plan, extractPlan(known));
  const { today } = visibilityRule(ports);
  const systems = referenceSystemsOf(caller.organisation, ports.registry().authorities, today);
  const references = { submitted: flag.identifier ?? [], known: known?.identifier ?? [], ends };
  return {
    ...{ flag, known, plan, ends },
    issues: checkReferenceSystems(references, systems),
    movedFrom: stays ? undefined : moving?.from,
    warnings: moving === undefined ? [] : [stays ? stayed : moved],
  };
}

/**
 * Checks the rules of a plan that need no other record: author, subject, reference systems and dates. Throws the fault of a
 * broken one.
 */
export function checkSubmittedFlag(submission: FlagSubmission, caller: Caller, ports: InteractionPorts): void {
  const { plan, issues } = submitFlag(submission, caller, ports);
  // The age of the subject depends on its Patient.
  refuseErrors([...issues, ...checkPlan(plan, undefined, visibilityRule(ports).today)]);
}
