import { mayMove } from '../../cpis/move-plan.ts';
import type { Plan } from '../../cpis/plan.ts';
import { FhirFault } from '../../fhir/fault.ts';
import type { RevisionGuard } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { View } from '../resource/view.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { isWithoutSuccessor } from './check-demographics.ts';
import { guardChild, readChild, relabelStatement } from './child-record.ts';

/** The child that a plan leaves. */
export interface LeftChild {
  /** The plan as it is recorded under the number of this child. */
  readonly plan: Plan;
  /** All plans under that number, with the one that leaves. */
  readonly plans: readonly Plan[];
  /** What takes the plan off the child. */
  readonly guards: readonly RevisionGuard[];
}

/** A plan, submitted under another NHS number than the recorded one. */
export interface Moving {
  readonly plan: Plan;
  readonly recorded: Plan;
  /** Whether the request names the plan by id and version. */
  readonly isStated: boolean;
}

/** Returns the plans after `changed` has replaced the plan with this id; undefined removes it. */
export function replacePlan(plans: readonly Plan[], id: string, changed?: Plan): readonly Plan[] {
  return [...plans.filter((plan) => plan.id !== id), ...(changed === undefined ? [] : [changed])];
}

/** Reads the child that a plan leaves, and builds the guards that take the plan off it. */
export async function leaveChild(plan: Plan, view: View): Promise<LeftChild> {
  const child = await readChild(view, plan.patientId);
  const statement = await view.read('Patient', plan.patientId);
  const plans = await view.plansOf(plan.patientId);
  const remaining = replacePlan(plans, plan.id);
  return { plan, plans, guards: [guardChild(child), ...relabelStatement(statement, plan.authorityId, remaining)] };
}

/** Plans the move of a plan to another NHS number. Throws if a demographics service says that the recorded one has no successor. */
export async function planMove(moving: Moving, view: View, ports: InteractionPorts): Promise<LeftChild> {
  const { plan, recorded, isStated } = moving;
  if (!isStated) {
    const { today } = visibilityRule(ports);
    const isInvalidated = await isWithoutSuccessor(recorded.patientId, ports);
    const move = mayMove(plan, { known: recorded, isStated, today, isInvalidated });
    if (typeof move !== 'string') throw new FhirFault('unprocessable', [move]);
  }
  return leaveChild(recorded, view);
}
