import type { SearchClause } from '../fhir/search/ast.ts';
import { lifeCycleEnd } from './life-cycle.ts';
import { addDays } from './london-date.ts';
import { type Plan, unbornKind } from './plan.ts';

/** Decides which plans NHS staff see. */
export interface VisibilityRule {
  /** Date in Europe/London, `YYYY-MM-DD`. */
  readonly today: string;
  /** How long a plan is shown after its end, in days. */
  readonly endedPlanVisibleDays: number;
}

/** What NHS staff see of a plan. `end` is undefined while the plan is open. */
export interface ShownPlan {
  readonly end: string | undefined;
}

/**
 * Returns what NHS staff see of a plan, or undefined if they do not see it: it is withdrawn, starts later, or ended too
 * long ago. A plan past its last day is shown as ended on that day, or on its first day if that is later. An unborn child's
 * plan past its last day is not shown at all.
 */
export function showPlan(plan: Plan, rule: VisibilityRule): ShownPlan | undefined {
  const { lastDay } = plan;
  if (plan.status === 'entered-in-error' || plan.start > rule.today) return undefined;
  const isOver = lastDay !== undefined && lastDay < rule.today;
  if (isOver && plan.kind === unbornKind) return undefined;
  const latest = isOver ? lifeCycleEnd(plan) : undefined;
  const end = latest !== undefined && (plan.end === undefined || plan.end > latest) ? latest : plan.end;
  return end !== undefined && end < visibleFrom(rule) ? undefined : { end };
}

/** Returns true if NHS staff see this plan. */
export function isVisible(plan: Plan, rule: VisibilityRule): boolean {
  return showPlan(plan, rule) !== undefined;
}

/** Returns the first `period.end` that NHS staff still see. */
export function visibleFrom({ today, endedPlanVisibleDays }: VisibilityRule): string {
  return addDays(today, -endedPlanVisibleDays);
}

let last: { readonly rule: VisibilityRule; readonly clauses: readonly SearchClause[] } | undefined;

/**
 * Returns clauses on Flag that find every plan that NHS staff see. They also find plans past their last day, which
 * `showPlan` then ends or hides. They are built once a day.
 */
export function visibilityClauses(rule: VisibilityRule): readonly SearchClause[] {
  const known = last?.rule;
  if (last === undefined || known?.today !== rule.today || known.endedPlanVisibleDays !== rule.endedPlanVisibleDays) {
    last = {
      rule,
      clauses: [
        { kind: 'token', param: 'status', negated: true, any: [{ code: 'entered-in-error' }] },
        { kind: 'date', param: 'date', any: [{ prefix: 'ge', ...dayRange(visibleFrom(rule)) }] },
        { kind: 'date', param: 'date', any: [{ prefix: 'le', ...dayRange(rule.today) }] },
      ],
    };
  }
  return last.clauses;
}

function dayRange(date: string): { readonly startMs: number; readonly endMs: number } {
  const startMs = Date.parse(date);
  return { startMs, endMs: startMs + 86_400_000 };
}
