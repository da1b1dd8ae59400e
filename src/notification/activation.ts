import type { StoredResource } from '../store/store.ts';
import { RefusedAddress, type ResolveHost, resolveChecked } from './address-guard.ts';
import { endOf, type ReadSubscription, type SubscriptionStatus } from './subscription.ts';

/** What the server does with a stored Subscription: the status and error that it ought to have, and whether it is used. */
export interface Verdict {
  readonly status: SubscriptionStatus;
  readonly error: string | undefined;
  readonly usable: boolean;
}

/**
 * The life cycle: `requested` becomes `active` when its endpoint, if it has one, resolves to public addresses, otherwise
 * `error`; what has
 * ended becomes `off`; what may not be used any more, because the registry changed, becomes `error` and is not used. In
 * `error` after failures it stays in use: deliveries are tried until one is acknowledged. `off` stays `off`.
 */
export async function judgeSubscription(
  stored: StoredResource,
  read: ReadSubscription,
  nowMs: number,
  resolve: ResolveHost,
  allowLoopback: boolean,
): Promise<Verdict> {
  const { status, error, end }: { status: SubscriptionStatus; error?: string; end?: string } = JSON.parse(stored.body);
  if (status === 'off') return { status, error, usable: false };
  const endMs = endOf(end);
  if (endMs !== undefined && !(endMs > nowMs)) return { status: 'off', error: undefined, usable: false };
  const [issue] = read.issues;
  if (issue !== undefined) return { status: 'error', error: issue.diagnostics, usable: false };
  if (status !== 'requested') return { status, error, usable: true };
  if (read.channel.type === 'websocket') return { status: 'active', error: undefined, usable: true };
  try {
    await resolveChecked(new URL(read.channel.endpoint).hostname, resolve, allowLoopback);
    return { status: 'active', error: undefined, usable: true };
  } catch (cause) {
    return { status: 'error', error: cause instanceof RefusedAddress ? 'refused-address' : 'dns', usable: true };
  }
}
