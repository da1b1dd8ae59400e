import type { SearchClause } from '../fhir/search/ast.ts';
import { addMonths } from './london-date.ts';
import type { Plan } from './plan.ts';

/** Returns the first `period.end` that is visible to the NHS on `today`; ended plans stay visible for `months`. */
export function visibleFrom(today: string, months: number): string {
  return addMonths(today, -months);
}

/**
 * Returns true if NHS staff see this plan on `today`: it is not withdrawn, and is open or ended within the last
 * `months`.
 */
export function isVisible(plan: Plan, today: string, months: number): boolean {
  return plan.status !== 'entered-in-error' && (plan.end === undefined || plan.end >= visibleFrom(today, months));
}

let lastClauses:
  | { readonly today: string; readonly months: number; readonly clauses: readonly SearchClause[] }
  | undefined;

/**
 * Returns the rule of `isVisible` as search clauses on Flag, so that a store finds exactly the visible plans. They are
 * built once a day.
 */
export function visibilityClauses(today: string, months: number): readonly SearchClause[] {
  if (lastClauses?.today !== today || lastClauses.months !== months) {
    const startMs = Date.parse(visibleFrom(today, months));
    const clauses: readonly SearchClause[] = [
      { kind: 'token', param: 'status', negated: true, any: [{ code: 'entered-in-error' }] },
      { kind: 'date', param: 'date', any: [{ prefix: 'ge', startMs, endMs: startMs + 86_400_000 }] },
    ];
    lastClauses = { today, months, clauses };
  }
  return lastClauses.clauses;
}
