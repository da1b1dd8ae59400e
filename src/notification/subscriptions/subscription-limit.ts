import { maxSubscriptions } from '../../cpis/subscription-limit.ts';
import type { StoredResource } from '../../store/store.ts';
import type { StatusDecision } from './activation.ts';

/** What becomes of a Subscription that there is no room for. */
export const overLimit: StatusDecision = {
  status: 'error',
  error: 'beyond the limit of Subscriptions in use',
  usable: false,
};

/**
 * The Subscriptions that the limit leaves no room for; those in use stay. A write beyond it is refused, but those that are
 * planned at the same moment do not see each other.
 */
export function findOverLimit(found: readonly StoredResource[]): ReadonlySet<StoredResource> {
  if (found.length <= maxSubscriptions) return new Set();
  const ranked = found.flatMap((stored) => {
    const { status, error } = JSON.parse(stored.body);
    if (status === 'off') return [];
    return [{ stored, waits: status === 'requested' || error === overLimit.error ? 1 : 0 }];
  });
  ranked.sort((a, b) => a.waits - b.waits || (a.stored.id < b.stored.id ? -1 : 1));
  return new Set(ranked.slice(maxSubscriptions).map(({ stored }) => stored));
}
