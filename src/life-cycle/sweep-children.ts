import { conflictLabels } from '../cpis/child-labels.ts';
import { childType } from '../cpis/statement.ts';
import type { Store } from '../store/store.ts';
import { visitAll } from './visit-all.ts';

/**
 * Settles all children whose details differ between authorities, by their NHS numbers. Resolves to false if `isStopped`
 * returned true on the way. Rejects if the store or `settle` fails; what was settled until then stays settled.
 */
export function sweepChildren(
  store: Pick<Store, 'search'>,
  settle: (nhsNumber: string) => Promise<void>,
  isStopped: () => boolean,
): Promise<boolean> {
  const clauses = [{ kind: 'label', any: conflictLabels }] as const;
  return visitAll(store, { type: childType, clauses }, ({ id }) => settle(id), isStopped);
}
