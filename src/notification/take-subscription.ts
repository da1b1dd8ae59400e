import { ownerOf } from '../cpis/labels.ts';
import type { StoredResource } from '../store/store.ts';
import { judgeSubscription, type Verdict } from './activation.ts';
import { beyondLimit } from './beyond-limit.ts';
import { revealSubscription } from './channel-secrets.ts';
import { endOf, readSubscription } from './subscription.ts';
import { writeSubscriptionVersion } from './subscription-version.ts';
import type { Handshake, SubscriptionsOptions, UsableSubscription } from './subscriptions.ts';

/** A Subscription in use, as it is stored. */
export interface Entry {
  readonly stored: StoredResource;
  readonly endMs: number | undefined;
  readonly usable: UsableSubscription;
}

/** `unshaken`: it waits until handshakes can be sent. `superseded`: somebody else has written it meanwhile. */
export type Taken = Entry | 'unused' | 'unshaken' | 'superseded';

const handshakeFailure = 'handshake-';
const withdrawn: Verdict = { status: 'error', error: 'the client may not be notified any more', usable: false };

/** Gives the stored Subscription the status and error of the verdict. Undefined: written by somebody else meanwhile. */
export async function bringSubscription(
  stored: StoredResource,
  verdict: Verdict,
  options: SubscriptionsOptions,
): Promise<StoredResource | undefined> {
  const { status, error } = JSON.parse(stored.body);
  if (status === verdict.status && error === verdict.error) return stored;
  const change = { before: stored, status: verdict.status, error: verdict.error, atMs: options.clock.now() };
  return writeSubscriptionVersion(change, options);
}

/** For one that the limit leaves no room for. */
export async function refuseBeyondLimit(stored: StoredResource, options: SubscriptionsOptions): Promise<Taken> {
  return (await bringSubscription(stored, beyondLimit, options)) === undefined ? 'superseded' : 'unused';
}

/** Judges a stored Subscription, shakes hands where that is due, and writes what has become of it. */
export async function takeSubscription(
  stored: StoredResource,
  options: SubscriptionsOptions,
  handshake: Handshake | undefined,
): Promise<Taken> {
  const { clock, resolve, allowLoopback } = options;
  const resource = JSON.parse(stored.body);
  const rules = { ...options, allowedOrigins: options.originsOf(stored.labels), nowMs: clock.now() };
  const read = readSubscription(revealSubscription(resource, options.secretsKey), rules);
  const { channel, clauses } = read;
  const judged = await judgeSubscription(stored, read, clock.now(), resolve, allowLoopback);
  const usableIn = ({ status, error }: Verdict): UsableSubscription => ({
    id: stored.id,
    owner: ownerOf(stored.labels) ?? '',
    status,
    channel,
    method: options.methodOf(stored.labels),
    secrets: options.secretsOf(stored.labels),
    clauses,
    awaitsHandshake: error?.startsWith(handshakeFailure) === true,
  });
  let verdict = judged.usable && !options.mayNotify(stored.labels) ? withdrawn : judged;
  const shakesHands = channel.topic !== undefined && channel.type === 'rest-hook';
  if (resource.status === 'requested' && verdict.usable && shakesHands) {
    if (handshake === undefined) return 'unshaken';
    const failure = verdict.error ?? (await handshake(usableIn({ ...verdict, status: 'requested' })));
    if (failure !== undefined) verdict = { status: 'error', error: `${handshakeFailure}${failure}`, usable: true };
  }
  const current = await bringSubscription(stored, verdict, options);
  if (current === undefined) return 'superseded';
  if (!verdict.usable) return 'unused';
  return { stored: current, endMs: endOf(resource.end), usable: usableIn(verdict) };
}
