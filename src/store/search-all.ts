import type { KeysetPosition, SearchPlan } from '../fhir/search/ast.ts';
import type { Store, StoredResource } from './store.ts';

const pageSize = 200;

/** Returns every resource that meets the clauses, page after page. Rejects if the store fails. */
export async function searchAll(
  store: Pick<Store, 'search'>,
  { type, clauses }: Pick<SearchPlan, 'type' | 'clauses'>,
): Promise<readonly StoredResource[]> {
  const found: StoredResource[] = [];
  let after: KeysetPosition | undefined;
  do {
    const plan: SearchPlan = { type, clauses, sort: [], limit: pageSize, total: false };
    const page = await store.search(after === undefined ? plan : { ...plan, after });
    found.push(...page.matches);
    after = page.next;
  } while (after !== undefined);
  return found;
}
