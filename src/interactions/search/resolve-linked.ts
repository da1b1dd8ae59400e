import { authorise, narrow } from '../../cpis/access-policy.ts';
import { fault } from '../../fhir/fault.ts';
import type { LinkedCriterion, SearchClause, SearchPlan, SearchQuery } from '../../fhir/search/ast.ts';
import { searchAnywhere } from '../directory/directory.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { patientsOf } from '../resource/present-resource.ts';
import { visibilityRule } from '../resource/visibility-rule.ts';

/** Maximum resources at the other end of a chain or `_has`. */
const maxLinkedResources = 1000;

/**
 * Resolves chains and `_has` to plain clauses. Each is a search of its own, authorised and narrowed as if the caller
 * had made it, so that resources which it may not see do not count. Throws `too-costly` if there are more than
 * `maxLinkedResources`.
 */
export async function resolveLinked(
  query: SearchQuery,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<SearchQuery> {
  const clauses = [...query.clauses];
  for (const linked of query.linked) clauses.push(await resolve(linked, context, ports));
  return { ...query, clauses, linked: [] };
}

async function resolve(
  linked: LinkedCriterion,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<SearchClause> {
  const { kind, param, target } = linked;
  authorise(context.caller, target, 'search-type');
  const plan: SearchPlan = {
    type: target,
    clauses: [linked.clause, ...narrow(context.caller, target, visibilityRule(ports))],
    sort: [],
    limit: maxLinkedResources,
    total: false,
  };
  const result = await searchAnywhere(plan, ports);
  if (result.next !== undefined) {
    throw fault('invalid', `More than ${maxLinkedResources} resources match this criterion. Narrow it.`, {
      code: 'too-costly',
      expression: [kind === 'has' ? '_has' : param],
    });
  }
  if (result.matches.length === 0) return { kind: 'label', any: [] };
  // `_has` is served over the references of Flag to Patient only.
  if (kind === 'has') return { kind: 'id', any: [...new Set(result.matches.flatMap(patientsOf))] };
  return { kind: 'reference', param, any: result.matches.map(({ id }) => ({ kind: 'literal', type: target, id })) };
}
