import { setImmediate as nextTurn } from 'node:timers/promises';
import type { EventRule, OpenPlan } from '../cpis/plan-event.ts';
import type { KeysetPosition, SearchPlan } from '../fhir/search/ast.ts';
import { type SettlePlanOptions, settlePlan } from './settle-plan.ts';

const pageSize = 100;
const openPlans: SearchPlan = {
  type: 'Flag',
  clauses: [{ kind: 'token', param: 'status', negated: false, any: [{ code: 'active' }] }],
  sort: [],
  limit: pageSize,
  total: false,
};

/**
 * Settles all open plans, page by page, and calls `onOpen` for each that stays open. Resolves to false if `isStopped`
 * returned true on the way. Rejects if the store fails; what was settled until then stays settled.
 */
export async function sweepPlans(
  rule: EventRule,
  options: SettlePlanOptions,
  onOpen: (open: OpenPlan) => void,
  isStopped: () => boolean,
): Promise<boolean> {
  let after: KeysetPosition | undefined;
  do {
    const page = await options.store.search(after === undefined ? openPlans : { ...openPlans, after });
    for (const stored of page.matches) {
      if (isStopped()) return false;
      const open = await settlePlan(stored, rule, options);
      if (open !== undefined) onOpen(open);
    }
    await nextTurn();
    after = page.next;
  } while (after !== undefined);
  return true;
}
