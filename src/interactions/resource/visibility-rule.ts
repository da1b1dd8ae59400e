import { londonDate } from '../../cpis/london-date.ts';
import type { VisibilityRule } from '../../cpis/visibility.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** Returns today's London date and the visible period, which decide which plans the NHS sees. */
export function visibilityRule(ports: Pick<InteractionPorts, 'clock' | 'endedPlanVisibleDays'>): VisibilityRule {
  return { today: londonDate(ports.clock()), endedPlanVisibleDays: ports.endedPlanVisibleDays };
}
