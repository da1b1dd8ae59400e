import type { VisibilityRule } from '../../cpis/access-policy.ts';
import { londonDate } from '../../cpis/london-date.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** Returns the rule of which plans are visible to the NHS at this moment. */
export function visibilityRule(ports: InteractionPorts): VisibilityRule {
  return { today: londonDate(ports.clock()), endedPlanVisibleMonths: ports.endedPlanVisibleMonths };
}
