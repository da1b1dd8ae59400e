import type { Clock } from '../../clock/clock.ts';
import type { Credential } from '../../cpis/caller.ts';
import type { Store } from '../../store/store.ts';
import { type EventNumbers, openEventNumbers } from '../events/event-numbers.ts';
import { buildEventReader, type InheritsEvent } from '../events/event-reader.ts';
import type { Send } from '../outbound-http/sender.ts';
import type { SelectEvent } from '../subscriptions/select-event.ts';
import type { Subscriptions } from '../subscriptions/usable-subscription.ts';
import { buildDeliver, type Deliver } from './deliver.ts';
import { startHeartbeats } from './heartbeats.ts';
import { openTopicChannels } from './topic-channel.ts';
import { openWebsockets, type Websockets } from './websockets.ts';

export interface TopicDeliveryOptions {
  readonly store: Store;
  readonly subscriptions: Subscriptions;
  readonly selectEvent: SelectEvent;
  /** Returns the JSON text of an AuditEvent as the authority may see it. */
  readonly renderEvent: (body: string, authority: string) => string;
  readonly inheritsEvent: InheritsEvent;
  readonly send: Send;
  readonly clock: Clock;
  /** The public base URL, without a slash at its end. */
  readonly baseUrl: string;
  /** A UUID. */
  readonly newId: () => string;
  /** Whether the client belongs to the authority now and may receive its AuditEvents, with this credential. */
  readonly mayConnect: (owner: string, clientId: string, credential: Credential) => boolean;
  /** The keys that binding tokens of WebSockets may be signed with; 32 bytes each. */
  readonly bindingKeys: () => readonly Uint8Array[];
  readonly onError: (error: unknown) => void;
}

/** Event numbers, channels and heartbeats of topic-based Subscriptions, and delivery through every channel. */
export interface TopicDelivery {
  readonly deliver: Deliver;
  readonly numbers: EventNumbers;
  readonly websockets: Websockets;
  close(): Promise<void>;
}

/** Opens all of it and begins to send handshakes. */
export function openTopicDelivery(options: TopicDeliveryOptions): TopicDelivery {
  const { store, subscriptions, send, clock, onError, renderEvent } = options;
  const numbers = openEventNumbers(options);
  const topics = openTopicChannels({ ...options, events: store.subscriptionEvents, numbers });
  const reader = buildEventReader(store, renderEvent, options.inheritsEvent);
  const websockets = openWebsockets({ ...options, numbers, reader });
  const stopHeartbeats = startHeartbeats({
    subscriptions,
    clock,
    lastSentMs: topics.lastSentMs,
    send: (to) => (to.channel.type === 'websocket' ? websockets.heartbeat(to) : topics.heartbeat(to)),
  });
  subscriptions.handshakeBy(topics.handshake);
  return {
    numbers,
    websockets,
    deliver: buildDeliver({
      send,
      topics,
      acknowledgedBy: async ({ id }, auditId) => {
        const [number = Number.POSITIVE_INFINITY] = await numbers.numberOf(id, [auditId]);
        return number <= (await store.subscriptionEvents.acknowledged(id));
      },
      onError,
    }),
    close: async () => {
      stopHeartbeats();
      websockets.close();
      await numbers.close();
    },
  };
}
