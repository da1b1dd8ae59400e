/**
 * Renders notifications of topic-based Subscriptions: a history Bundle whose first entry is a Parameters with the
 * status. http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification-r4
 */
import { backport, type PayloadContent } from './backport.ts';

/** https://hl7.org/fhir/valueset-subscription-notification-type.html */
export type NotificationType = 'handshake' | 'heartbeat' | 'event-notification' | 'query-status' | 'query-event';

/** The state of a Subscription. */
export interface SubscriptionState {
  readonly id: string;
  /** Canonical URL of its topic; undefined if its criteria are a search. */
  readonly topic: string | undefined;
  readonly status: string;
  /** The kind of the last error. */
  readonly error: string | undefined;
  /** The last event number; undefined if its events have no numbers. */
  readonly lastNumber: number | undefined;
}

/** An event of a notification. `body` is the JSON text of the focus, as this subscriber may see it. */
export interface NumberedEvent {
  readonly number: number;
  readonly type: string;
  readonly id: string;
  readonly timestampMs: number;
  readonly body: string;
}

export interface NotificationContext {
  /** Public base URL, without a trailing slash. */
  readonly baseUrl: string;
  readonly nowMs: number;
  readonly content: PayloadContent;
  /** Returns a UUID. */
  readonly newId: () => string;
}

const instant = (atMs: number): string => new Date(atMs).toISOString();

function renderEvent(event: NumberedEvent, { baseUrl, content }: NotificationContext): unknown {
  const part: unknown[] = [
    { name: 'event-number', valueString: String(event.number) },
    { name: 'timestamp', valueInstant: instant(event.timestampMs) },
  ];
  if (content !== 'empty') {
    part.push({ name: 'focus', valueReference: { reference: `${baseUrl}/${event.type}/${event.id}` } });
  }
  return { name: 'notification-event', part };
}

/** Builds the Parameters resource with the status of a Subscription and the events of a notification. */
export function renderStatus(
  state: SubscriptionState,
  type: NotificationType,
  events: readonly NumberedEvent[],
  context: NotificationContext,
): Readonly<Record<string, unknown>> {
  const { id, topic, status, error, lastNumber } = state;
  const parameter: unknown[] = [
    { name: 'subscription', valueReference: { reference: `${context.baseUrl}/Subscription/${id}` } },
  ];
  if (topic !== undefined && context.content !== 'empty') parameter.push({ name: 'topic', valueCanonical: topic });
  parameter.push({ name: 'status', valueCode: status }, { name: 'type', valueCode: type });
  if (lastNumber !== undefined) {
    parameter.push({ name: 'events-since-subscription-start', valueString: String(lastNumber) });
  }
  for (const event of events) parameter.push(renderEvent(event, context));
  if (error !== undefined) parameter.push({ name: 'error', valueCodeableConcept: { text: error } });
  return { resourceType: 'Parameters', id: context.newId(), meta: { profile: [backport.status] }, parameter };
}

/** Renders a notification, or the response to `$events`, as a Bundle with the events in the given order. */
export function renderNotification(
  state: SubscriptionState,
  type: NotificationType,
  events: readonly NumberedEvent[],
  context: NotificationContext,
): string {
  const { baseUrl, content, nowMs, newId } = context;
  const status = renderStatus(state, type, events, context);
  const first = {
    fullUrl: `urn:uuid:${status['id']}`,
    resource: status,
    request: { method: 'GET', url: `Subscription/${state.id}/$status` },
    response: { status: '200' },
  };
  const disclosed = content === 'empty' ? [] : events;
  const entries = disclosed.map(({ type: resourceType, id, body }) => ({
    fullUrl: `${baseUrl}/${resourceType}/${id}`,
    ...(content === 'full-resource' ? { resource: JSON.parse(body) as unknown } : {}),
    request: { method: 'GET', url: `${resourceType}/${id}` },
    response: { status: '200' },
  }));
  return JSON.stringify({
    resourceType: 'Bundle',
    id: newId(),
    meta: { profile: [backport.notification] },
    type: 'history',
    timestamp: instant(nowMs),
    entry: [first, ...entries],
  });
}
