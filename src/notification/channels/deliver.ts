import type { ClaimedDelivery } from '../../store/store.ts';
import type { Send, SendResult } from '../outbound-http/sender.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { buildMessage } from './message.ts';
import type { TopicChannels } from './topic-channel.ts';

/**
 * Notifies one Subscription of one event through its channel. Resolves with undefined if the subscriber connects to
 * this server and has not acknowledged the event yet. Never rejects.
 */
export type Deliver = (to: UsableSubscription, delivery: ClaimedDelivery) => Promise<SendResult | undefined>;

export interface DeliverOptions {
  readonly send: Send;
  readonly topics: Pick<TopicChannels, 'deliver'>;
  /** Whether the subscriber of a websocket channel has acknowledged the event. Rejects if the store fails. */
  readonly acknowledgedBy: (to: UsableSubscription, auditId: string) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
}

export function buildDeliver({ send, topics, acknowledgedBy, onError }: DeliverOptions): Deliver {
  return async (to, delivery) => {
    const { channel, method, secrets, owner } = to;
    if (channel.topic === undefined) return send(buildMessage(channel, method, delivery, secrets, owner));
    if (channel.type === 'rest-hook') return topics.deliver(to, delivery);
    try {
      return (await acknowledgedBy(to, delivery.auditId)) ? { kind: 'acknowledged', status: 200 } : undefined;
    } catch (error) {
      onError(error);
      return undefined;
    }
  };
}
