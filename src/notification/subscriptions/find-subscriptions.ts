import type { SearchClause } from '../../fhir/search/ast.ts';
import type { Store, StoredResource } from '../../store/store.ts';

const pageSize = 100;

/** All current Subscriptions that the clauses select. Throws as the store does. */
export async function findSubscriptions(
  store: Pick<Store, 'search'>,
  clauses: readonly SearchClause[],
): Promise<readonly StoredResource[]> {
  const plan = { type: 'Subscription', clauses, sort: [], limit: pageSize, total: false } as const;
  const found: StoredResource[] = [];
  let page = await store.search(plan);
  found.push(...page.matches);
  while (page.next !== undefined) {
    page = await store.search({ ...plan, after: page.next });
    found.push(...page.matches);
  }
  return found;
}
