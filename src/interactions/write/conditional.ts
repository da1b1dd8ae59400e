import { narrow } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { StoredResource } from '../../store/store.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';
import { parseCallerSearch } from '../search/allowed-parameters.ts';

/**
 * Plans the search for the match of a conditional interaction, among the resources that the caller may see. The
 * criteria are parsed strictly and must not be empty. https://hl7.org/fhir/R4/http.html#ccreate
 */
export function planCriteria(
  type: string,
  params: readonly (readonly [string, string])[],
  context: AccessContext,
  ports: InteractionPorts,
): SearchPlan {
  const query = parseCallerSearch(type, params, context.caller, 'strict', ports);
  if (query.linked.length > 0) {
    throw fault(
      'not-supported',
      'A conditional interaction takes only criteria on the resource itself. Leave out chains and _has.',
      {
        expression: query.linked.map(({ kind, param }) => (kind === 'has' ? '_has' : param)),
      },
    );
  }
  if (query.clauses.length === 0 || query.cursor !== undefined || query.summary !== undefined) {
    throw fault('required', 'A conditional interaction needs search criteria, and takes no other search parameters.');
  }
  return {
    type,
    clauses: [...query.clauses, ...narrow(context.caller, type, visibilityRule(ports))],
    sort: [],
    limit: 2,
    total: false,
  };
}

/** Returns the one match of the criteria; undefined for none. Throws `precondition` for several. */
export async function findOne(plan: SearchPlan, ports: InteractionPorts): Promise<StoredResource | undefined> {
  const { matches } = await ports.store.search(plan);
  if (matches.length > 1) {
    throw fault('precondition', 'The criteria match more than one resource. Narrow them.', {
      code: 'multiple-matches',
    });
  }
  return matches[0];
}
