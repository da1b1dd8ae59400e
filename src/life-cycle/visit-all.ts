import { setImmediate as nextTurn } from 'node:timers/promises';
import type { KeysetPosition, SearchPlan } from '../fhir/search/ast.ts';
import type { Store, StoredResource } from '../store/store.ts';

const pageSize = 100;

/**
 * Visits all resources that match, one after the other. Resolves to false if `isStopped` returned true on the way. Rejects if
 * the store or a visit fails.
 */
export async function visitAll(
  store: Pick<Store, 'search'>,
  { type, clauses }: Pick<SearchPlan, 'type' | 'clauses'>,
  visit: (stored: StoredResource) => Promise<void>,
  isStopped: () => boolean,
): Promise<boolean> {
  const first: SearchPlan = { type, clauses, sort: [], limit: pageSize, total: false };
  let after: KeysetPosition | undefined;
  do {
    const page = await store.search(after === undefined ? first : { ...first, after });
    for (const stored of page.matches) {
      if (isStopped()) return false;
      await visit(stored);
    }
    await nextTurn();
    after = page.next;
  } while (after !== undefined);
  return true;
}
