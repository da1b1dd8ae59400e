import type { Clock } from '../../clock/clock.ts';
import type { NumberedEvent } from '../../fhir/subscription/notification-bundle.ts';
import type { ClaimedDelivery, SubscriptionEvents } from '../../store/store.ts';
import type { EventNumbers } from '../events/event-numbers.ts';
import type { Send, SendResult } from '../outbound-http/sender.ts';
import type { Subscriptions, UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { buildTopicMessage } from './topic-message.ts';

type Delivery = Pick<ClaimedDelivery, 'auditId' | 'recordedMs' | 'body'>;

/** Notifies the rest-hook endpoints of topic-based Subscriptions. */
export interface TopicChannels {
  /**
   * Sends an event in a notification Bundle. One Bundle at a time is in flight to a Subscription; events that arrive
   * meanwhile go into the next one, in the order of event numbers, up to its maxCount. Never rejects.
   */
  deliver(to: UsableSubscription, delivery: Delivery): Promise<SendResult>;
  /** Resolves with undefined if the handshake was accepted, otherwise with the class of the failure. Never rejects. */
  handshake(to: UsableSubscription): Promise<string | undefined>;
  heartbeat(to: UsableSubscription): Promise<SendResult>;
  /** Returns when a notification was last sent to the Subscription, on `clock.elapsed()`. */
  lastSentMs(subscriptionId: string): number | undefined;
}

export interface TopicChannelsOptions {
  readonly events: Pick<SubscriptionEvents, 'last'>;
  readonly numbers: Pick<EventNumbers, 'numberOf'>;
  readonly subscriptions: Pick<Subscriptions, 'usable'>;
  readonly send: Send;
  readonly clock: Clock;
  readonly baseUrl: string;
  /** A UUID. */
  readonly newId: () => string;
  readonly onError: (error: unknown) => void;
}

interface Waiting {
  readonly to: UsableSubscription;
  readonly delivery: Delivery;
  readonly resolve: (result: SendResult) => void;
  number: number | undefined;
}

interface Queue {
  waiting: Waiting[];
  busy: boolean;
  /**
   * Events of a refused Bundle. Each is sent in a Bundle of its own from then on, so that one cannot block the others.
   */
  readonly alone: Set<string>;
  lastSentMs: number | undefined;
}

const notUsable: SendResult = { kind: 'failed', reason: 'no-subscription', endpointAlive: true };
const storeFailed: SendResult = { kind: 'failed', reason: 'store', endpointAlive: true };

export function openTopicChannels(options: TopicChannelsOptions): TopicChannels {
  const { events, numbers, subscriptions, send, clock, baseUrl, newId, onError } = options;
  const queues = new Map<string, Queue>();
  const context = () => ({ baseUrl, newId, nowMs: clock.now() });

  function queueOf(id: string): Queue {
    const known = queues.get(id);
    if (known !== undefined) return known;
    const made: Queue = { waiting: [], busy: false, alone: new Set(), lastSentMs: undefined };
    queues.set(id, made);
    return made;
  }

  async function sendEmpty(to: UsableSubscription, type: 'handshake' | 'heartbeat'): Promise<SendResult> {
    try {
      const last = await events.last(to.id);
      queueOf(to.id).lastSentMs = clock.elapsed();
      return await send(buildTopicMessage(to, type, [], last, context()));
    } catch (error) {
      onError(error);
      return storeFailed;
    }
  }

  /** Takes the next events in the order of their numbers, or one that must be sent alone. */
  function takeBatch(queue: Queue): Waiting[] {
    // Events that arrived while the others were being numbered have no number yet.
    const numbered = queue.waiting.filter(({ number }) => number !== undefined);
    numbered.sort((a, b) => (a.number ?? 0) - (b.number ?? 0));
    const most = numbered[0]?.to.channel.topic?.maxCount ?? 1;
    const firstAlone = numbered.findIndex(({ delivery }) => queue.alone.has(delivery.auditId));
    const count = firstAlone === 0 ? 1 : Math.min(most, firstAlone === -1 ? most : firstAlone);
    const batch = numbered.slice(0, count);
    queue.waiting = queue.waiting.filter((each) => !batch.includes(each));
    return batch;
  }

  async function numberWaiting(id: string, { waiting }: Queue): Promise<void> {
    const unnumbered = waiting.filter(({ number }) => number === undefined);
    if (unnumbered.length === 0) return;
    const found = await numbers.numberOf(
      id,
      unnumbered.map(({ delivery }) => delivery.auditId),
    );
    for (const [index, each] of unnumbered.entries()) each.number = found[index];
  }

  async function sendBatch(id: string, queue: Queue, batch: readonly Waiting[]): Promise<SendResult> {
    // The Subscription may have been changed, withdrawn or turned off while the events waited.
    const to = subscriptions.usable(batch[0]?.to.owner ?? '').find((usable) => usable.id === id);
    if (to?.channel.topic === undefined || to.channel.type !== 'rest-hook' || to.status === 'requested')
      return notUsable;
    if (to.awaitsHandshake) {
      const accepted = await sendEmpty(to, 'handshake');
      if (accepted.kind === 'failed') return { ...accepted, endpointAlive: false };
    }
    const numbered = batch.map(
      ({ delivery, number = 0 }): NumberedEvent => ({
        number,
        type: 'AuditEvent',
        id: delivery.auditId,
        timestampMs: delivery.recordedMs,
        body: delivery.body,
      }),
    );
    const last = await events.last(id);
    queue.lastSentMs = clock.elapsed();
    const result = await send(buildTopicMessage(to, 'event-notification', numbered, last, context()));
    const refused = result.kind === 'failed' && result.endpointAlive;
    for (const { delivery } of batch) {
      if (refused) queue.alone.add(delivery.auditId);
      else if (result.kind === 'acknowledged') queue.alone.delete(delivery.auditId);
    }
    return result;
  }

  async function pump(id: string, queue: Queue): Promise<void> {
    if (queue.busy) return;
    queue.busy = true;
    // Events that are claimed together arrive within one tick.
    await Promise.resolve();
    while (queue.waiting.length > 0) {
      let batch: Waiting[] = [];
      let result: SendResult;
      try {
        await numberWaiting(id, queue);
        batch = takeBatch(queue);
        result = await sendBatch(id, queue, batch);
      } catch (error) {
        onError(error);
        if (batch.length === 0) batch = queue.waiting.splice(0);
        result = storeFailed;
      }
      for (const { resolve } of batch) resolve(result);
    }
    queue.busy = false;
  }

  return {
    deliver: (to, delivery) =>
      new Promise((resolve) => {
        const queue = queueOf(to.id);
        queue.waiting.push({ to, delivery, resolve, number: undefined });
        void pump(to.id, queue);
      }),
    handshake: async (to) => {
      const result = await sendEmpty(to, 'handshake');
      return result.kind === 'failed' ? result.reason : undefined;
    },
    heartbeat: (to) => sendEmpty(to, 'heartbeat'),
    lastSentMs: (id) => queues.get(id)?.lastSentMs,
  };
}
