import type { EventRule, OpenPlan } from '../cpis/plan-event.ts';
import type { SearchClause } from '../fhir/search/ast.ts';
import { type SettlePlanOptions, settlePlan } from './settle-plan.ts';
import { visitAll } from './visit-all.ts';

const isOpen: SearchClause = { kind: 'token', param: 'status', negated: false, any: [{ code: 'active' }] };

/**
 * Settles all open plans, and calls `onOpen` for each that stays open. Resolves to false if `isStopped` returned true on the
 * way. Rejects if the store fails; what was settled until then stays settled.
 */
export function sweepPlans(
  rule: EventRule,
  options: SettlePlanOptions,
  onOpen: (open: OpenPlan) => void,
  isStopped: () => boolean,
): Promise<boolean> {
  const settle: Parameters<typeof visitAll>[2] = async (stored) => {
    const open = await settlePlan(stored, rule, options);
    if (open !== undefined) onOpen(open);
  };
  return visitAll(options.store, { type: 'Flag', clauses: [isOpen] }, settle, isStopped);
}
