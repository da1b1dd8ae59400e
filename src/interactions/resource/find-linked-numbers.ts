import { linkedNumbers } from '../../cpis/linked-numbers.ts';
import { childType } from '../../cpis/statement.ts';
import type { Store } from '../../store/store.ts';
import type { InteractionPorts } from '../port/ports.ts';

/**
 * Returns an NHS number, first, and the numbers that the demographics service has linked to it, as the store knows them: the
 * service itself is not asked, so that no look-up waits for it.
 */
export async function findLinkedNumbers(
  nhsNumber: string,
  { demographics, store }: Pick<InteractionPorts, 'demographics'> & { readonly store: Pick<Store, 'read'> },
): Promise<readonly string[]> {
  if (!demographics.isPresent) return [nhsNumber];
  return linkedNumbers(nhsNumber, async (each) => {
    const child = await store.read(childType, each);
    return child.kind === 'found' ? child.resource.labels : [];
  });
}
