import type { SearchClause } from '../../fhir/search/ast.ts';
import { searchAll } from '../../store/search-all.ts';
import type { Store, StoredResource } from '../../store/store.ts';

/** Returns all current Subscriptions that meet the clauses. Rejects if the store fails. */
export function findSubscriptions(
  store: Pick<Store, 'search'>,
  clauses: readonly SearchClause[],
): Promise<readonly StoredResource[]> {
  return searchAll(store, { type: 'Subscription', clauses });
}
