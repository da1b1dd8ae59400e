import { ownerOf } from '../cpis/labels.ts';
import type { Store } from '../store/store.ts';

/** The changes that other servers make to Subscriptions in a shared store. */
export interface SubscriptionWatch {
  /** Calls `changed` for each owner whose Subscriptions changed since the watch was opened, and from now on. */
  follow(changed: (authorityId: string) => void): void;
  close(): Promise<void>;
}

/** Opens the watch, and buffers changes until Subscriptions are loaded. A store that nobody else writes has no watch. */
export async function openSubscriptionWatch(store: Pick<Store, 'watchResources'>): Promise<SubscriptionWatch> {
  const early = new Set<string>();
  let notify = (owner: string): void => void early.add(owner);
  const unwatch = await store.watchResources?.('Subscription', (labels) => {
    const owner = ownerOf(labels);
    if (owner !== undefined) notify(owner);
  });
  return {
    follow(changed) {
      notify = changed;
      for (const owner of early) changed(owner);
      early.clear();
    },
    close: async () => unwatch?.(),
  };
}
