import type { Caller } from '../../cpis/caller.ts';
import { ownerOf } from '../../cpis/labels.ts';
import { parsePlan } from '../../cpis/plan.ts';
import { changedNumber, furtherPlans, hidesPlan, narrowsKinds, unknownAuthority } from '../../cpis/plan-search.ts';
import type { Issue } from '../../fhir/fault.ts';
import type { SearchQuery } from '../../fhir/search/ast.ts';
import type { InteractionPorts } from '../port/ports.ts';
import type { ShownPlans } from '../resource/shown-plans.ts';

/** Returns the warnings of a look-up: `code` leaves out further plans, or the registry lacks the authority of a plan. */
export function warnOfPlans(
  { clauses }: Pick<SearchQuery, 'clauses'>,
  patientIds: readonly string[],
  { result, visible }: ShownPlans,
  ports: Pick<InteractionPorts, 'organizations'>,
): readonly Issue[] {
  const hides = narrowsKinds(clauses) && hidesPlan(clauses, visible.map(parsePlan));
  const lacks = result.matches.some(({ labels }) => ports.organizations.read(ownerOf(labels) ?? '') === undefined);
  return [
    ...(hides ? [furtherPlans((result.total ?? result.matches.length) > 0)] : []),
    ...(lacks ? [unknownAuthority] : []),
    ...(patientIds.length > 1 && visible.length > 0 ? [changedNumber] : []),
  ];
}

/** Returns true if the search is a look-up of plans by NHS staff. */
export function looksUpPlans({ type }: Pick<SearchQuery, 'type'>, caller: Caller): boolean {
  return type === 'Flag' && caller.role === 'care-provider';
}
