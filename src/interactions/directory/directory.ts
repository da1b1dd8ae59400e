import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { SearchResult, StoredResource } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';

/** Resources of one type that are kept in memory and not in the store; they are about no patient. */
export interface Directory {
  read(id: string): StoredResource | undefined;
  search(plan: SearchPlan): SearchResult;
}

/** The directory of a type; undefined: its resources are in the store. */
export function directoryOf(
  type: string,
  ports: Pick<InteractionPorts, 'organizations' | 'definitions'>,
): Directory | undefined {
  return type === 'Organization' ? ports.organizations : ports.definitions.get(type);
}

/** One page of what a plan finds, wherever its type is kept. */
export function searchAnywhere(plan: SearchPlan, ports: InteractionPorts): SearchResult | Promise<SearchResult> {
  return directoryOf(plan.type, ports)?.search(plan) ?? ports.store.search(plan);
}
