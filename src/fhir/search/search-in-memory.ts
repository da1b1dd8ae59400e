import type { IndexValue, KeysetPosition, SearchPlan } from './ast.ts';
import { type MatchMeta, matches } from './matches.ts';
import { compareBy, positionOf } from './sort.ts';

/** A resource of the searched type, with its index values. */
export interface Candidate<R extends MatchMeta> {
  readonly resource: R;
  readonly values: readonly IndexValue[];
}

export interface InMemoryResult<R> {
  readonly matches: readonly R[];
  /** The value of `after` for the next page; undefined on the last page. */
  readonly next: KeysetPosition | undefined;
  /** The number of all matches, over all pages, if the plan requests it. */
  readonly total: number | undefined;
}

/** Finds one page among candidates as a store does: sorted, after the plan's position, at most `limit` matches. */
export function searchInMemory<R extends MatchMeta>(
  plan: SearchPlan,
  candidates: readonly Candidate<R>[],
): InMemoryResult<R> {
  const { sort, after, limit } = plan;
  const found = candidates.filter(({ resource, values }) => matches(plan.clauses, values, resource));
  const total = plan.total ? found.length : undefined;
  if (limit === 0) return { matches: [], next: undefined, total };
  if (found.length <= 1 && after === undefined) {
    return { matches: found.map(({ resource }) => resource), next: undefined, total };
  }
  const placed = found
    .map(({ resource, values }) => ({
      resource,
      position: positionOf(sort, { id: resource.id, lastUpdatedMs: resource.lastUpdatedMs, values }),
    }))
    .filter(({ position }) => after === undefined || compareBy(sort, position, after) > 0)
    .sort((a, b) => compareBy(sort, a.position, b.position));
  const page = placed.slice(0, limit);
  const next = placed.length > limit ? page.at(-1)?.position : undefined;
  return { matches: page.map(({ resource }) => resource), next, total };
}
