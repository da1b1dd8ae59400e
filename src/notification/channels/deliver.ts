import type { ClaimedDelivery } from '../../store/store.ts';
import type { Send, SendResult } from '../outbound-http/sender.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { buildMessage } from './message.ts';
import type { TopicChannels } from './topic-channel.ts';

/**
 * Tells one Subscription of one event, in the way of its channel. Undefined: this side has nothing to do, the subscriber
 * has not acknowledged the event yet. Never rejects.
 */
export type Deliver = (to: UsableSubscription, delivery: ClaimedDelivery) => Promise<SendResult | undefined>;

export interface DeliverOptions {
  readonly send: Send;
  readonly topics: Pick<TopicChannels, 'deliver'>;
  /** Whether the subscriber of a websocket channel has acknowledged the event. Rejects as the store does. */
  readonly acknowledgedBy: (to: UsableSubscription, auditId: string) => Promise<boolean>;
  readonly onError: (error: unknown) => void;
}

export function buildDeliver({ send, topics, acknowledgedBy, onError }: DeliverOptions): Deliver {
  return async (to, delivery) => {
    const { channel, method, secrets } = to;
    if (channel.topic === undefined) return send(buildMessage(channel, method, delivery, secrets));
    if (channel.type === 'rest-hook') return topics.deliver(to, delivery);
    try {
      return (await acknowledgedBy(to, delivery.auditId)) ? { kind: 'acknowledged', status: 200 } : undefined;
    } catch (error) {
      onError(error);
      return undefined;
    }
  };
}
