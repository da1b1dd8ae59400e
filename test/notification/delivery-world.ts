import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Clock, systemClock } from '../../src/clock/clock.ts';
import { loadSearchParameters } from '../../src/fhir/definitions/search-parameters.ts';
import { extractIndexValues } from '../../src/fhir/search/extract-index-values.ts';
import { parseSearch } from '../../src/fhir/search/parse-search.ts';
import {
  openTopicDelivery,
  type TopicDelivery,
  type TopicDeliveryOptions,
} from '../../src/notification/channels/topic-delivery.ts';
import {
  type Dispatcher,
  type DispatcherLimits,
  type DispatcherOptions,
  defaultDispatcherLimits,
  startDispatcher,
} from '../../src/notification/delivery/dispatcher.ts';
import type { ResolveHost } from '../../src/notification/outbound-http/address-guard.ts';
import { openSender } from '../../src/notification/outbound-http/sender.ts';
import type { ParseSearch } from '../../src/notification/subscriptions/criteria.ts';
import { selectByCriteria } from '../../src/notification/subscriptions/select-event.ts';
import type { SubscriptionChange } from '../../src/notification/subscriptions/subscription-version.ts';
import { openSubscriptions } from '../../src/notification/subscriptions/subscriptions.ts';
import type { Subscriptions } from '../../src/notification/subscriptions/usable-subscription.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import type { AuditWrite, DeliveryBacklog, DeliveryQueue, Store, StoredResource } from '../../src/store/store.ts';
import { storeUnavailable } from '../../src/store/store-unavailable.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import { waitUntil } from '../support/wait-until.ts';
import { commitEvents, secretsKeys, storeSubscription, updateSubscription } from './delivery-records.ts';

const baseUrl = 'http://127.0.0.1/FHIR/R4';
const definitions = loadSearchParameters();

export const bindingKey = Buffer.alloc(32, 8);

export const parseAuditSearch: ParseSearch = (type, params) =>
  parseSearch(type, params, {
    definitions,
    allowed: new Set([
      '_id',
      '_lastUpdated',
      'patient',
      'agent',
      'entity',
      'date',
      'type',
      'subtype',
      'action',
      'outcome',
    ]),
    handling: 'strict',
    baseUrl,
    maxCount: 100,
    includes: new Set(),
    sorts: new Set(['date']),
  });

export interface DeliveryWorldOptions {
  /** Whether a client may have a WebSocket. Default: each may. */
  readonly mayConnect?: TopicDeliveryOptions['mayConnect'];
  readonly clock?: Clock;
  readonly limits?: Partial<DispatcherLimits>;
  readonly folder?: string;
  readonly deadlineMs?: number;
  readonly resolve?: ResolveHost;
  readonly methodOf?: (labels: readonly string[]) => 'PUT' | 'POST';
  readonly allowLoopback?: boolean;
  /** Origins registered from the start. */
  readonly origins?: readonly string[];
  readonly auditOf?: (change: SubscriptionChange) => AuditWrite;
  /** Whether the store refuses the server's next own write of a Subscription. */
  readonly refusedCommits?: () => boolean;
  readonly onContested?: (stored: StoredResource) => void;
  readonly onParked?: (authority: string, auditId: string, reason: string) => void;
  /** Wraps the real queue with faults. */
  readonly faulty?: (queue: DeliveryQueue) => DeliveryQueue;
}

/** Store, Subscriptions, sender and dispatcher as in the server, with a folder of its own. */
export interface DeliveryWorld {
  readonly folder: string;
  readonly store: Store;
  readonly subscriptions: Subscriptions;
  readonly topics: TopicDelivery;
  readonly dispatcher: Dispatcher;
  /** Starts a second dispatcher on the same store. */
  startAnother(): Dispatcher;
  readonly errors: unknown[];
  /** The endpoint origins registered for every client; `subscribe` adds to them. */
  readonly origins: Set<string>;
  /**
   * Stores a Subscription as a client's create does, and notifies the server. Resolves when its status has been
   * decided.
   */
  subscribe(authority: string, endpoint: string, more?: Record<string, unknown>): Promise<string>;
  /**
   * Stores the next version of a Subscription as a client's update does (null: a delete), without notifying the server.
   */
  update(id: string, patch: Record<string, unknown> | null): Promise<void>;
  /** Commits AuditEvents owed to the authority and wakes the dispatcher. Returns their ids. */
  owe(authority: string, count: number, action?: string): Promise<string[]>;
  statusOf(id: string): Promise<{ status: string; error?: string; version: number }>;
  backlogOf(authority: string): Promise<DeliveryBacklog | undefined>;
  /** Resolves when the authority is owed nothing. */
  drained(authority: string): Promise<void>;
  /** Advances a manual clock, and waits until everything due on the way has been sent and settled. */
  pass(clock: ManualClock, byMs: number): Promise<void>;
  stop(): Promise<void>;
  remove(): void;
}

export async function openDeliveryWorld(options: DeliveryWorldOptions = {}): Promise<DeliveryWorld> {
  const folder = options.folder ?? mkdtempSync(join(tmpdir(), 'cpis-delivery-'));
  const clock = options.clock ?? systemClock;
  const errors: unknown[] = [];
  const origins = new Set(options.origins);
  const limits = {
    ...defaultDispatcherLimits,
    deadlineMs: 5_000,
    stopGraceMs: 300,
    queryEveryMs: 3_600_000,
    ...options.limits,
  };
  const resolve: ResolveHost = options.resolve ?? (async () => [{ address: '127.0.0.1', family: 4 }]);
  const store = await openSqliteStore({ folder, onFatal: (error) => errors.push(error) });
  const subscriptions = await openSubscriptions({
    store,
    commit: (unit) =>
      options.refusedCommits?.() ? Promise.reject(storeUnavailable('sqlite-full')) : store.commit(unit),
    indexOf: (resource) => extractIndexValues({ resourceType: 'Subscription', ...resource }, definitions, { baseUrl }),
    parseSearch: parseAuditSearch,
    resolve,
    clock,
    allowLoopback: options.allowLoopback ?? true,
    ...(options.auditOf === undefined ? {} : { auditOf: options.auditOf }),
    originsOf: () => [...origins],
    methodOf: options.methodOf ?? (() => 'PUT'),
    secretsOf: () => [],
    mayNotify: () => true,
    secretsKeys: () => secretsKeys,
    ...(options.onContested === undefined ? {} : { onContested: options.onContested }),
    onError: (error) => errors.push(error),
  });
  const sender = openSender({
    resolve,
    allowLoopback: options.allowLoopback ?? true,
    connectTimeoutMs: 2_000,
    deadlineMs: options.deadlineMs ?? 5_000,
    responseCapBytes: 65_536,
    connectionsPerOrigin: limits.perAuthority,
    now: clock.now,
    sign: () => [],
  });
  const renderEvent = (body: string): string => body;
  const selectEvent = selectByCriteria(definitions, baseUrl);
  const topics = openTopicDelivery({
    inheritsEvent: async () => false,
    store,
    subscriptions,
    selectEvent,
    renderEvent,
    send: sender.send,
    clock,
    baseUrl,
    newId: randomUUID,
    mayConnect: options.mayConnect ?? (() => true),
    bindingKeys: () => [bindingKey],
    onError: (error) => errors.push(error),
  });
  const dispatcherOptions: DispatcherOptions = {
    store: { deliveries: options.faulty?.(store.deliveries) ?? store.deliveries },
    subscriptions,
    renderEvent,
    selectEvent,
    deliver: topics.deliver,
    sender,
    clock,
    random: () => 0.5,
    limits,
    ...(options.onParked === undefined ? {} : { onParked: options.onParked }),
    onError: (error) => errors.push(error),
  };
  const dispatcher = startDispatcher(dispatcherOptions);

  const backlogOf = async (authority: string) =>
    (await store.deliveries.backlog()).find((row) => row.authority === authority);

  return {
    folder,
    store,
    subscriptions,
    topics,
    dispatcher,
    startAnother: () => startDispatcher({ ...dispatcherOptions, sender: { close: async () => undefined } }),
    errors,
    origins,
    subscribe: async (authority, endpoint, more = {}) => {
      const id = randomUUID();
      if (URL.canParse(endpoint)) origins.add(new URL(endpoint).origin);
      await storeSubscription(store, authority, id, endpoint, more, clock.now());
      await subscriptions.changed(authority);
      return id;
    },
    update: (id, patch) => updateSubscription(store, id, patch),
    owe: async (authority, count, action = 'E') => {
      const ids = await commitEvents(store, authority, count, action, clock.now());
      dispatcher.wake(authority);
      return ids;
    },
    statusOf: async (id) => {
      const found = await store.read('Subscription', id);
      if (found.kind !== 'found') throw new Error(found.kind);
      const { status, error } = JSON.parse(found.resource.body);
      return { status, version: found.resource.version, ...(error === undefined ? {} : { error }) };
    },
    backlogOf,
    drained: (authority) =>
      waitUntil(`nothing to be owed to ${authority}`, async () => !((await backlogOf(authority))?.undelivered ?? 0)),
    pass: (manual, byMs) =>
      manual.advance(byMs, async () => {
        for (let quiet = 0; quiet < 3; ) {
          await new Promise((next) => setTimeout(next, 2));
          quiet = dispatcher.snapshot().isIdle ? quiet + 1 : 0;
        }
      }),
    stop: async () => {
      const subscriptionsClosed = subscriptions.close();
      await dispatcher.stop();
      await topics.close();
      await subscriptionsClosed;
      await store.close();
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** Opens a world that is closed at the end of the test. */
export async function world(
  test: { teardown(end: () => Promise<void>): unknown },
  options?: DeliveryWorldOptions,
): Promise<DeliveryWorld> {
  const opened = await openDeliveryWorld(options);
  test.teardown(async () => {
    await opened.stop();
    opened.remove();
  });
  return opened;
}
