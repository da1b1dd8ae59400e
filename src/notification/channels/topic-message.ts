import { createHash } from 'node:crypto';
import {
  type NotificationContext,
  type NotificationType,
  type NumberedEvent,
  renderNotification,
  type SubscriptionState,
} from '../../fhir/subscription/notification-bundle.ts';
import type { Notification } from '../outbound-http/sender.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';

/** Returns the state of a Subscription in use; `lastNumber` is its last event number. */
export function stateOf(
  { id, status, channel }: Pick<UsableSubscription, 'id' | 'status' | 'channel'>,
  lastNumber: number,
): SubscriptionState {
  return { id, topic: channel.topic?.url, status, error: undefined, lastNumber };
}

/**
 * Builds the POST that notifies the endpoint of a topic-based Subscription of these events; a handshake or heartbeat
 * has none. `webhook-id` is the AuditEvent's id for one event. For several it is a hash of their ids, so that the same
 * events have the same id.
 */
export function buildTopicMessage(
  to: UsableSubscription,
  type: NotificationType,
  events: readonly NumberedEvent[],
  lastNumber: number,
  context: Omit<NotificationContext, 'content'>,
): Notification {
  const { channel, secrets } = to;
  const content = channel.topic?.content ?? 'empty';
  const body = renderNotification(stateOf(to, lastNumber), type, events, { ...context, content });
  const headers = [...channel.headers.flat(), 'content-type', channel.payload ?? 'application/fhir+json'];
  const timeoutMs = channel.topic?.timeoutMs;
  return {
    method: 'POST',
    url: channel.endpoint,
    headers,
    body,
    signing: { id: webhookId(events, context), secrets, recipient: to.owner },
    ...(timeoutMs === undefined ? {} : { deadlineMs: timeoutMs }),
  };
}

function webhookId(events: readonly NumberedEvent[], { newId }: Pick<NotificationContext, 'newId'>): string {
  const [first, ...others] = events;
  if (first === undefined) return newId();
  if (others.length === 0) return first.id;
  return createHash('sha256')
    .update(events.map(({ id }) => id).join())
    .digest('hex');
}
