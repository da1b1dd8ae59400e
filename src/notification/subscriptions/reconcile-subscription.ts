import { ownerOf } from '../../cpis/labels.ts';
import type { StoredResource } from '../../store/store.ts';
import { isHandshakeFailure, judgeSubscription, type StatusDecision } from './activation.ts';
import { canReveal, resealSubscription, revealSubscription } from './channel-secrets.ts';
import type { Entry, Reconciled } from './entry.ts';
import type { RegistryConflicts } from './registry-conflicts.ts';
import { endOf, readSubscription } from './subscription.ts';
import { overLimit } from './subscription-limit.ts';
import { writeSubscriptionVersion } from './subscription-version.ts';
import type { SubscriptionsOptions } from './subscriptions-options.ts';
import type { UsableSubscription } from './usable-subscription.ts';

const withdrawn: StatusDecision = { status: 'error', error: 'the client may not be notified any more', usable: false };

const keyMissing: StatusDecision = {
  status: 'error',
  error: 'the server has lost the key of the header values: send them again',
  usable: false,
};

/**
 * Writes the status and error of the decision if they differ, and the headers if an older key sealed them. Returns undefined if somebody else has written the
 * Subscription meanwhile.
 */
async function writeDecision(
  stored: StoredResource,
  decision: StatusDecision,
  options: SubscriptionsOptions,
): Promise<StoredResource | undefined> {
  const resource = JSON.parse(stored.body);
  const resealed = resealSubscription(resource, options.secretsKeys());
  const isDecided = resource.status === decision.status && resource.error === decision.error;
  if (isDecided && resealed === undefined) return stored;
  const before = resealed === undefined ? stored : { ...stored, body: JSON.stringify(resealed) };
  const change = { before, status: decision.status, error: decision.error, atMs: options.clock.now() };
  return writeSubscriptionVersion(change, options);
}

/** Sets a Subscription over the limit to `error`. */
export async function refuseOverLimit(stored: StoredResource, options: SubscriptionsOptions): Promise<Reconciled> {
  return (await writeDecision(stored, overLimit, options)) === undefined ? 'superseded' : 'unused';
}

/** Says what is wrong with a Subscription whose headers are sealed with a key that this server does not have. */
function withoutKey(judged: StatusDecision, resource: unknown, { secretsKeys }: SubscriptionsOptions): StatusDecision {
  return judged.status !== 'error' || judged.usable || canReveal(resource, secretsKeys()) ? judged : keyMissing;
}

/** Decides the status of a stored Subscription and writes it. Contacts no endpoint. */
export async function reconcileSubscription(
  stored: StoredResource,
  options: SubscriptionsOptions,
  conflicts: RegistryConflicts,
): Promise<Reconciled> {
  const { clock } = options;
  const resource = JSON.parse(stored.body);
  const rules = { ...options, allowedOrigins: options.originsOf(stored.labels), nowMs: clock.now() };
  const read = readSubscription(revealSubscription(resource, options.secretsKeys()), rules);
  const judged = withoutKey(judgeSubscription(stored, read, clock.now()), resource, options);
  const decision = judged.usable && !options.mayNotify(stored.labels) ? withdrawn : judged;
  if (!decision.usable && decision.status === 'error' && !conflicts.mayWrite(stored)) return 'unused';
  const current = await writeDecision(stored, decision, options);
  if (current === undefined) return 'superseded';
  if (!decision.usable) return 'unused';
  const usable: UsableSubscription = {
    id: stored.id,
    owner: ownerOf(stored.labels) ?? '',
    status: decision.status,
    channel: read.channel,
    method: options.methodOf(stored.labels),
    secrets: options.secretsOf(stored.labels),
    clauses: read.clauses,
    awaitsHandshake: isHandshakeFailure(decision.error),
  };
  return { stored: current, endMs: endOf(resource.end), usable };
}

/**
 * Writes another status, and returns the entry with it; undefined if somebody else has written the Subscription
 * meanwhile.
 */
export async function moveEntry(
  entry: Entry,
  decision: StatusDecision,
  options: SubscriptionsOptions,
): Promise<Entry | undefined> {
  const stored = await writeDecision(entry.stored, decision, options);
  if (stored === undefined) return undefined;
  const { status, error } = decision;
  const stillAwaits = status === 'error' && entry.usable.awaitsHandshake;
  return {
    ...entry,
    stored,
    usable: { ...entry.usable, status, awaitsHandshake: stillAwaits || isHandshakeFailure(error) },
  };
}
