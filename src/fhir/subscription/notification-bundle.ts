/**
 * Notifications of topic-based Subscriptions: a history Bundle whose first entry is a Parameters with the status.
 * http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification-r4
 */
import { backport, type PayloadContent } from './backport.ts';

/** https://hl7.org/fhir/valueset-subscription-notification-type.html */
export type NotificationType = 'handshake' | 'heartbeat' | 'event-notification' | 'query-status' | 'query-event';

/** Where a Subscription stands. */
export interface SubscriptionState {
  readonly id: string;
  /** Canonical URL of its topic; undefined: its criteria are a search. */
  readonly topic: string | undefined;
  readonly status: string;
  /** A short class of what went wrong last. */
  readonly error: string | undefined;
  /** The last event number; undefined: its events are not numbered. */
  readonly lastNumber: number | undefined;
}

/** An event as it is told of. `body` is the JSON text of the focus as the subscriber may have it. */
export interface NumberedEvent {
  readonly number: number;
  readonly type: string;
  readonly id: string;
  readonly timestampMs: number;
  readonly body: string;
}

export interface NotificationContext {
  /** Public base URL, without a slash at its end. */
  readonly baseUrl: string;
  readonly nowMs: number;
  readonly content: PayloadContent;
  /** A UUID. */
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

/** The status of a Subscription, with the events that are told of: a Parameters resource. */
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

/** A notification, or the answer to `$events`: the JSON text of a Bundle. The events stand in the order given. */
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
  const told = content === 'empty' ? [] : events;
  const entries = told.map(({ type: resourceType, id, body }) => ({
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
