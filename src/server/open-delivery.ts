import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import { buildSubscriberClients } from '../auth/subscriber-clients.ts';
import { type Clock, systemTime } from '../clock/clock.ts';
import { ownerOf } from '../cpis/labels.ts';
import { recordOwnChange } from '../cpis/own-change.ts';
import { renderForAuthority } from '../cpis/shared-event.ts';
import { inheritsEvent } from '../interactions/resource/inherited-events.ts';
import { startDeliveryMonitor } from '../notification/alarms/delivery-monitor.ts';
import { openTopicDelivery, type TopicDelivery } from '../notification/channels/topic-delivery.ts';
import { type Dispatcher, defaultDispatcherLimits, startDispatcher } from '../notification/delivery/dispatcher.ts';
import { buildHostResolver } from '../notification/outbound-http/resolve-host.ts';
import { openSender } from '../notification/outbound-http/sender.ts';
import { buildSignNotification } from '../notification/outbound-http/sign-notification.ts';
import type { ParseSearch } from '../notification/subscriptions/criteria.ts';
import { selectByCriteria } from '../notification/subscriptions/select-event.ts';
import { openSubscriptions } from '../notification/subscriptions/subscriptions.ts';
import type { Subscriptions } from '../notification/subscriptions/usable-subscription.ts';
import type { Settings } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { sealKeysOf } from './check-sealed-headers.ts';
import type { FhirModel } from './load-fhir-model.ts';
import type { Identity } from './open-identity.ts';
import { openSubscriptionWatch } from './subscription-watch.ts';

/** Everything that notifies authorities. */
export interface Delivery {
  readonly subscriptions: Subscriptions;
  readonly topics: TopicDelivery;
  readonly dispatcher: Dispatcher;
}

export interface DeliveryOptions {
  readonly settings: Settings;
  readonly baseUrl: string;
  readonly store: Store;
  readonly model: FhirModel;
  readonly identity: Identity;
  readonly parseCriteria: ParseSearch;
  readonly clock: Clock;
  readonly newAuditId: () => string;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
  /** Background work failed and goes on. */
  readonly onError: (error: unknown) => void;
}

const responseCapBytes = 64 * 1024;

/** Loads the Subscriptions and starts delivery; `closing` closes what was opened. Rejects if the store cannot be read. */
export async function openDelivery(options: DeliveryOptions, closing: AsyncDisposableStack): Promise<Delivery> {
  const { settings, baseUrl, store, model, identity, parseCriteria, clock, metrics, logger, onError } = options;
  const { registry, signingKey, notificationKeys } = identity;
  const allowLoopback = settings.allowLoopbackEndpoints;
  const clients = buildSubscriberClients(() => registry.current);
  const resolve = buildHostResolver();

  const watch = await openSubscriptionWatch(store);
  closing.defer(watch.close);
  const sender = openSender({
    resolve,
    allowLoopback,
    connectTimeoutMs: Math.min(10_000, settings.notificationTimeoutMs),
    deadlineMs: settings.notificationTimeoutMs,
    responseCapBytes,
    // Concurrency is limited by send slots only; a per-origin limit would let hung endpoints starve others on the same host.
    connectionsPerOrigin: 4 * defaultDispatcherLimits.total,
    now: clock.now,
    tls: settings.notificationTls,
    sign: buildSignNotification(notificationKeys.privateKeys, clock.now),
  });
  closing.defer(sender.close);
  const subscriptions = await openSubscriptions({
    store,
    commit: (unit) => store.commit(unit),
    indexOf: model.extract,
    auditOf: ({ before, atMs }) =>
      recordOwnChange(
        {
          id: options.newAuditId(),
          recordedMs: atMs,
          requestId: randomUUID(),
          type: before.type,
          resourceId: before.id,
          ownerId: ownerOf(before.labels),
        },
        baseUrl,
      ),
    secretsKeys: () => sealKeysOf(signingKey()),
    parseSearch: parseCriteria,
    resolve,
    clock,
    allowLoopback,
    originsOf: clients.origins,
    methodOf: clients.method,
    secretsOf: clients.secrets,
    mayNotify: clients.mayNotify,
    onContested: ({ id, labels }) =>
      logger.warn(
        { event: 'subscription-contested', authority: ownerOf(labels), subscription: id },
        'another server uses a Subscription that this server refuses: give all servers the same registry file',
      ),
    onError,
  });
  closing.defer(subscriptions.close);
  watch.follow((owner) => void subscriptions.changed(owner));

  const selectEvent = selectByCriteria(model.searchDefinitions, baseUrl);
  const topics = openTopicDelivery({
    store,
    subscriptions,
    selectEvent,
    renderEvent: renderForAuthority,
    inheritsEvent: (event, authority) =>
      inheritsEvent(event, authority, { store, registry: () => registry.current, clock: clock.now }),
    send: sender.send,
    clock,
    baseUrl,
    newId: randomUUID,
    mayConnect: clients.mayConnect,
    bindingKeys: () => [signingKey(), ...signingKey().older].map(({ bindingKey }) => bindingKey),
    onError,
  });
  closing.defer(topics.close);
  const dispatcher = startDispatcher({
    store,
    subscriptions,
    selectEvent,
    renderEvent: renderForAuthority,
    deliver: topics.deliver,
    sender,
    clock,
    random: Math.random,
    limits: {
      ...defaultDispatcherLimits,
      perAuthority: settings.notificationConcurrencyPerAuthority,
      perSecond: settings.notificationRatePerAuthority,
      deadlineMs: settings.notificationTimeoutMs,
      leaseMs: settings.notificationTimeoutMs + settings.notificationLeaseMarginMs,
    },
    onParked: (authority, auditId, reason) =>
      logger.warn(
        { event: 'delivery-parked', authority, auditId, reason },
        'this event keeps failing while its endpoint accepts others: it is parked, and retried every 10 to 15 minutes',
      ),
    onError,
  });
  closing.defer(async () => {
    // Stopping the dispatcher cuts connections. Subscriptions close first, so that a handshake that is cut is not recorded
    // as a failure of the endpoint.
    const subscriptionsClosed = subscriptions.close();
    await dispatcher.stop();
    await subscriptionsClosed;
  });
  const monitor = startDeliveryMonitor({
    deliveries: store.deliveries,
    dispatcher,
    authorities: () => registry.current.authorities.keys(),
    clock,
    aheadMs: systemTime.aheadMs,
    register: metrics,
    logger,
    webhookUrl: settings.alarmWebhookUrl,
  });
  closing.defer(monitor.stop);
  return { subscriptions, topics, dispatcher };
}
