import { londonDate } from '../../cpis/london-date.ts';
import type { VisibilityRule } from '../../cpis/visibility.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** Returns the rule of which plans are visible to the NHS at this moment. */
export function visibilityRule(ports: InteractionPorts): VisibilityRule {
  return { today: londonDate(ports.clock()), endedPlanVisibleDays: ports.endedPlanVisibleDays };
}
