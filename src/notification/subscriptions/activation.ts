import type { StoredResource } from '../../store/store.ts';
import { RefusedAddress, type ResolveHost, resolveChecked } from '../outbound-http/address-guard.ts';
import { type Channel, endOf, type ReadSubscription, type SubscriptionStatus } from './subscription.ts';

/** The decision about a stored Subscription: the status and error that it should have, and whether it is used. */
export interface StatusDecision {
  readonly status: SubscriptionStatus;
  readonly error: string | undefined;
  readonly usable: boolean;
}

/**
 * Decides the status as far as the endpoint need not be contacted. A Subscription that has ended becomes `off`. One
 * that the registry no longer allows becomes `error` and is not used. A requested one becomes `active` if the
 * subscriber connects to this server; otherwise it waits for `verifyEndpoint`. In `error` after failures it stays in
 * use, and deliveries are tried until one is acknowledged. `off` stays `off`.
 */
export function judgeSubscription(stored: StoredResource, read: ReadSubscription, nowMs: number): StatusDecision {
  const { status, error, end }: { status: SubscriptionStatus; error?: string; end?: string } = JSON.parse(stored.body);
  if (status === 'off') return { status, error, usable: false };
  const endMs = endOf(end);
  if (endMs !== undefined && !(endMs > nowMs)) return { status: 'off', error: undefined, usable: false };
  const [issue] = read.issues;
  if (issue !== undefined) return { status: 'error', error: issue.diagnostics, usable: false };
  if (status === 'requested' && read.channel.type === 'websocket') {
    return { status: 'active', error: undefined, usable: true };
  }
  return { status, error, usable: true };
}

const handshakeFailure = 'handshake-';

/** Whether this error says that the endpoint has accepted no handshake yet. */
export const isHandshakeFailure = (error: string | undefined): boolean => error?.startsWith(handshakeFailure) === true;

/**
 * Verifies the endpoint of a requested Subscription. The decision is `active` if the endpoint resolves to public
 * addresses and, where notifications are numbered, has accepted a handshake; otherwise `error`. Never rejects.
 */
export async function verifyEndpoint(
  channel: Channel,
  resolve: ResolveHost,
  allowLoopback: boolean,
  handshake: () => Promise<string | undefined>,
): Promise<StatusDecision> {
  const refusal = await resolveEndpoint(channel.endpoint, resolve, allowLoopback);
  if (channel.topic === undefined) return decisionOf(refusal);
  const failure = refusal ?? (await handshake());
  return decisionOf(failure === undefined ? undefined : `${handshakeFailure}${failure}`);
}

const decisionOf = (error: string | undefined): StatusDecision => ({
  status: error === undefined ? 'active' : 'error',
  error,
  usable: true,
});

async function resolveEndpoint(endpoint: string, resolve: ResolveHost, allowLoopback: boolean) {
  try {
    await resolveChecked(new URL(endpoint).hostname, resolve, allowLoopback);
    return undefined;
  } catch (cause) {
    return cause instanceof RefusedAddress ? 'refused-address' : 'dns';
  }
}
