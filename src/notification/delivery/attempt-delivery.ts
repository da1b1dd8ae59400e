import type { ClaimedDelivery, Settlement } from '../../store/store.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import type { AuthorityQueueContext } from './authority-queue-context.ts';
import type { Endpoints } from './endpoints.ts';
import { settle } from './settlement.ts';

/** The queue for which an attempt is made. */
export interface AttemptingQueue {
  readonly authority: string;
  readonly endpoints: Endpoints;
  /** Returns the timestamp for an event that is found unmatched at `nowMs`. */
  unmatchedAtMs(nowMs: number): number;
  /** Whether the queue is stopping: a failure may then be a cut connection, and says nothing about the endpoint. */
  isStopped(): boolean;
}

/** The result of an attempt. */
export interface Attempted {
  readonly settlement: Settlement;
  /** Subscriptions that were not sent to, because their endpoint is closed. */
  readonly heldBackFrom: readonly string[];
}

/**
 * Sends a delivery to every Subscription that matches it and has not acknowledged it yet. Returns what to record in the
 * store.
 */
export async function attemptDelivery(
  delivery: ClaimedDelivery,
  usable: readonly UsableSubscription[],
  { authority, endpoints, unmatchedAtMs, isStopped }: AttemptingQueue,
  {
    clock,
    random,
    selectEvent,
    renderEvent,
  }: Pick<AuthorityQueueContext, 'clock' | 'random' | 'selectEvent' | 'renderEvent'>,
): Promise<Attempted> {
  const event = { ...delivery, body: renderEvent(delivery.body, authority) };
  const selects = selectEvent(event.body);
  const matching = usable.filter(({ clauses }) => selects(clauses));
  if (matching.length === 0) return unmatched(unmatchedAtMs(clock.now()));
  const open = matching.filter(({ id }) => !delivery.acknowledgedBy.includes(id));
  const outcomes = await Promise.all(open.map((to) => endpoints.sendTo(to, event)));
  const heldBackFrom = outcomes
    .filter(({ result }) => result === undefined)
    .map(({ subscriptionId }) => subscriptionId);
  const unsent = outcomes.length > 0 && heldBackFrom.length === outcomes.length;
  const cut = isStopped() && !outcomes.every(({ result }) => result?.kind === 'acknowledged');
  if (cut || (unsent && endpoints.admission(usable) === 'closed')) {
    return { settlement: { kind: 'released' }, heldBackFrom };
  }
  return { settlement: settle(delivery, outcomes, clock.now(), random), heldBackFrom };
}

const unmatched = (atMs: number): Attempted => ({ settlement: { kind: 'unmatched', atMs }, heldBackFrom: [] });

/** Returns what to record for a delivery that is not sent now: released, or unmatched if no Subscription matches it. */
export function giveBack(
  { body }: ClaimedDelivery,
  usable: readonly UsableSubscription[],
  { authority, unmatchedAtMs }: Pick<AttemptingQueue, 'authority' | 'unmatchedAtMs'>,
  { clock, selectEvent, renderEvent }: Pick<AuthorityQueueContext, 'clock' | 'selectEvent' | 'renderEvent'>,
): Attempted {
  if (usable.length > 0) {
    const selects = selectEvent(renderEvent(body, authority));
    if (!usable.some(({ clauses }) => selects(clauses))) return unmatched(unmatchedAtMs(clock.now()));
  }
  return { settlement: { kind: 'released' }, heldBackFrom: [] };
}
