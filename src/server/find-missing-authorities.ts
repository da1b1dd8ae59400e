import { ownerLabel } from '../cpis/labels.ts';
import type { Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';

/**
 * Returns a problem for each authority that the registry lacks although the store has plans, Subscriptions or owed
 * notifications of it: NHS staff would see its plans without its name and telephones, and it would not be notified. The
 * same rule refuses a start and a reload.
 */
export async function findMissingAuthorities(
  store: Pick<Store, 'deliveries' | 'listLabels'>,
  { authorities }: Pick<Registry, 'authorities'>,
): Promise<readonly string[]> {
  const prefix = ownerLabel('');
  const [plans, subscriptions, backlog] = await Promise.all([
    store.listLabels('Flag', prefix),
    store.listLabels('Subscription', prefix),
    store.deliveries.backlog(),
  ]);
  const missing = new Map<string, string[]>();
  const note = (authority: string, held: string): void => {
    if (!authorities.has(authority)) missing.set(authority, [...(missing.get(authority) ?? []), held]);
  };
  for (const label of plans) note(label.slice(prefix.length), 'plans');
  for (const label of subscriptions) note(label.slice(prefix.length), 'Subscriptions');
  for (const { authority, undelivered } of backlog) if (undelivered > 0) note(authority, 'owed notifications');
  return [...missing]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(
      ([authority, held]) =>
        `organisations: local authority ${authority} is missing, and the store has ${held.join(' and ')} of it; ` +
        'add it again, with its name and telephones',
    );
}
