/** Whether a plan follows its child to another NHS number. */
import type { Coding, Issue } from '../fhir/fault.ts';
import { endsPlan, isHeld, type Plan, unbornKind } from './plan.ts';

export interface MoveFacts {
  /** The plan as it is recorded. */
  readonly known: Plan;
  /** Whether the request names the plan by id and version. The authority so states that the child was not adopted. */
  readonly isStated: boolean;
  /** Date in Europe/London, `YYYY-MM-DD`. */
  readonly today: string;
  /** Whether a demographics service says that the recorded number is no longer in use and has no successor. */
  readonly isInvalidated?: boolean;
}

/** `moves`: to the submitted number. `stays`: the submission is taken under the recorded number. Otherwise the refusal. */
export type Move = 'moves' | 'stays' | Issue;

const refuse = (diagnostics: string): Issue => ({
  severity: 'error',
  code: 'business-rule',
  diagnostics,
  expression: ['Flag.subject'],
});

/**
 * Decides what a submission of a recorded plan under another NHS number does. An open plan moves. A plan that has ended
 * moves only if its authority states that the child was not adopted, because nothing may connect the numbers of an adopted
 * child. A withdrawal or an end is never refused for the number: it is taken under the recorded one.
 */
export function mayMove(plan: Plan, { known, isStated, today, isInvalidated = false }: MoveFacts): Move {
  if (plan.status === 'entered-in-error') return 'stays';
  if ((plan.kind === unbornKind) !== (known.kind === unbornKind)) {
    return refuse(
      "An unborn child's plan is not moved from the mother to the child, nor back. End it, and submit the child's own plan " +
        'with a reference of its own; one Bundle may hold both.',
    );
  }
  if (isStated) return 'moves';
  const { lastDay } = known;
  const hasEnded = isHeld(known) && (known.status === 'inactive' || (lastDay !== undefined && lastDay < today));
  if (!hasEnded && plan.status === 'inactive' && endsPlan(plan, known)) return 'stays';
  if (hasEnded || isInvalidated || plan.status === 'inactive') {
    return refuse(
      'This plan has ended, or its NHS number is no longer in use, so it is not moved to another number: after an adoption ' +
        'nothing may connect the two. If the child was not adopted, update the plan by its id with If-Match. For a new ' +
        'plan, submit a new reference.',
    );
  }
  return 'moves';
}

/** The coding of an accepted submission that moved a plan. */
export const movedCoding: Coding = {
  system: 'https://cpis-fhir.example.org/fhir/CodeSystem/plan-outcome',
  code: 'moved',
  display: 'Moved',
};

export const moved: Issue = {
  severity: 'information',
  code: 'informational',
  diagnostics:
    'The plan was moved to this NHS number. At the earlier one NHS staff see it only if the demographics service says that ' +
    'this number replaced it.',
  expression: ['Flag.subject'],
  details: movedCoding,
};

export const stayed: Issue = {
  severity: 'warning',
  code: 'business-rule',
  diagnostics:
    'The plan was ended or withdrawn under the NHS number that it is recorded with, and was not moved to the submitted one. ' +
    'To move it as well, update it by its id with If-Match.',
  expression: ['Flag.subject'],
};
