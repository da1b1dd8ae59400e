import { maxSubscriptions } from '../../cpis/subscription-limit.ts';
import type { StoredResource } from '../../store/store.ts';
import type { StatusDecision } from './activation.ts';

/** Status of a Subscription over the limit. */
export const overLimit: StatusDecision = {
  status: 'error',
  error: 'beyond the limit of Subscriptions in use',
  usable: false,
};

/**
 * Returns the Subscriptions over the limit; those in use come first and stay. A write over the limit is refused, but
 * writes that are planned at the same moment do not see each other.
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
