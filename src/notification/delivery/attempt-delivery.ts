import type { ClaimedDelivery, Settlement } from '../../store/store.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import type { AuthorityQueueContext } from './authority-queue-context.ts';
import type { Endpoints } from './endpoints.ts';
import { settle } from './settlement.ts';

/** The queue that an attempt is made for. */
export interface AttemptingQueue {
  readonly authority: string;
  readonly endpoints: Endpoints;
  /** The time that what nobody asks for is set apart with, given the time of now. */
  unmatchedAtMs(nowMs: number): number;
  /** The queue is being stopped: what fails now was cut, and says nothing. */
  isStopped(): boolean;
}

/** What an attempt came to. */
export interface Attempted {
  readonly settlement: Settlement;
  /** Subscriptions that were not sent to. */
  readonly heldBackFrom: readonly string[];
}

/**
 * Sends a delivery to every Subscription that asks for it and has not acknowledged it yet, and says what the store is to
 * be told.
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
  const wanting = usable.filter(({ clauses }) => selects(clauses));
  if (wanting.length === 0) return setApart(unmatchedAtMs(clock.now()));
  const open = wanting.filter(({ id }) => !delivery.acknowledgedBy.includes(id));
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

const setApart = (atMs: number): Attempted => ({ settlement: { kind: 'unmatched', atMs }, heldBackFrom: [] });

/** For a delivery that is not sent now: given back, or set apart where nobody asks for it. */
export function giveBack(
  { body }: ClaimedDelivery,
  usable: readonly UsableSubscription[],
  { authority, unmatchedAtMs }: Pick<AttemptingQueue, 'authority' | 'unmatchedAtMs'>,
  { clock, selectEvent, renderEvent }: Pick<AuthorityQueueContext, 'clock' | 'selectEvent' | 'renderEvent'>,
): Attempted {
  if (usable.length > 0) {
    const selects = selectEvent(renderEvent(body, authority));
    if (!usable.some(({ clauses }) => selects(clauses))) return setApart(unmatchedAtMs(clock.now()));
  }
  return { settlement: { kind: 'released' }, heldBackFrom: [] };
}
