import { ownerOf } from '../../cpis/labels.ts';
import type { StoredResource } from '../../store/store.ts';
import { isHandshakeFailure, judgeSubscription, type Verdict } from './activation.ts';
import { revealSubscription } from './channel-secrets.ts';
import type { Refusals } from './registry-conflicts.ts';
import { endOf, readSubscription } from './subscription.ts';
import { beyondLimit } from './subscription-limit.ts';
import { writeSubscriptionVersion } from './subscription-version.ts';
import type { UsableSubscription } from './subscriptions.ts';
import type { SubscriptionsOptions } from './subscriptions-options.ts';

/** A Subscription in use, as it is stored. */
export interface Entry {
  readonly stored: StoredResource;
  readonly endMs: number | undefined;
  readonly usable: UsableSubscription;
}

/** `superseded`: somebody else has written it meanwhile. */
export type Taken = Entry | 'unused' | 'superseded';

const withdrawn: Verdict = { status: 'error', error: 'the client may not be notified any more', usable: false };

/** Gives the stored Subscription the status and error of the verdict. Undefined: written by somebody else meanwhile. */
async function bringSubscription(
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

/** Judges a stored Subscription, and writes what has become of it. Asks nobody but the store. */
export async function takeSubscription(
  stored: StoredResource,
  options: SubscriptionsOptions,
  refusals: Refusals,
): Promise<Taken> {
  const { clock } = options;
  const resource = JSON.parse(stored.body);
  const rules = { ...options, allowedOrigins: options.originsOf(stored.labels), nowMs: clock.now() };
  const read = readSubscription(revealSubscription(resource, options.secretsKey), rules);
  const judged = judgeSubscription(stored, read, clock.now());
  const verdict = judged.usable && !options.mayNotify(stored.labels) ? withdrawn : judged;
  if (!verdict.usable && verdict.status === 'error' && !refusals.mayWrite(stored)) return 'unused';
  const current = await bringSubscription(stored, verdict, options);
  if (current === undefined) return 'superseded';
  if (!verdict.usable) return 'unused';
  const usable: UsableSubscription = {
    id: stored.id,
    owner: ownerOf(stored.labels) ?? '',
    status: verdict.status,
    channel: read.channel,
    method: options.methodOf(stored.labels),
    secrets: options.secretsOf(stored.labels),
    clauses: read.clauses,
    awaitsHandshake: isHandshakeFailure(verdict.error),
  };
  return { stored: current, endMs: endOf(resource.end), usable };
}

/** The entry after its Subscription has been given another status. Undefined: written by somebody else meanwhile. */
export async function moveEntry(
  entry: Entry,
  verdict: Verdict,
  options: SubscriptionsOptions,
): Promise<Entry | undefined> {
  const stored = await bringSubscription(entry.stored, verdict, options);
  if (stored === undefined) return undefined;
  const { status, error } = verdict;
  const stillAwaits = status === 'error' && entry.usable.awaitsHandshake;
  return {
    ...entry,
    stored,
    usable: { ...entry.usable, status, awaitsHandshake: stillAwaits || isHandshakeFailure(error) },
  };
}
