import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { SearchResult } from '../../store/store.ts';
import type { Directory, InteractionPorts } from '../port/ports.ts';

/** Returns the directory of a type; undefined if its resources are in the store. */
export function directoryOf(
  type: string,
  ports: Pick<InteractionPorts, 'organizations' | 'definitions'>,
): Directory | undefined {
  return type === 'Organization' ? ports.organizations : ports.definitions.get(type);
}

/** Returns one page of a search, from the directory of its type or from the store. */
export function searchAnywhere(plan: SearchPlan, ports: InteractionPorts): SearchResult | Promise<SearchResult> {
  return directoryOf(plan.type, ports)?.search(plan) ?? ports.store.search(plan);
}
