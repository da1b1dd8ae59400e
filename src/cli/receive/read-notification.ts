import { itemsOf, membersOf } from '../../fhir/any-json.ts';
import { parseJson } from '../../fhir/json.ts';

/** One event of a notification. */
export interface NotifiedEvent {
  /** Event number in the Subscription; undefined in plain R4, which has none. */
  readonly number: number | undefined;
  /** `AuditEvent.id`; undefined if the payload is `empty`. */
  readonly id: string | undefined;
  /** The JSON text of the AuditEvent; undefined if it was not sent. */
  readonly resource: string | undefined;
}

/** A notification in either form, plain R4 or R5 Backport. */
export interface Notification {
  /** Undefined in plain R4. */
  readonly subscription: { readonly id: string; readonly type: string; readonly newest: number } | undefined;
  readonly events: readonly NotifiedEvent[];
}

/** Thrown for a body that is not a notification. The message repeats nothing of the body. */
export class NotANotification extends Error {}

type Json = Readonly<Record<string, unknown>>;

const idForm = /^[A-Za-z0-9\-.]{1,64}$/;
const maxEvents = 1_000;

/**
 * Parses the body of a notification: an AuditEvent (plain R4) or a history Bundle (R5 Backport). Throws
 * NotANotification.
 */
export function readNotification(body: Uint8Array): Notification {
  let resource: Json;
  try {
    resource = membersOf(parseJson(body));
  } catch {
    throw new NotANotification('the body is not strict JSON in UTF-8');
  }
  if (resource['resourceType'] === 'AuditEvent') {
    const event = readEvent(resource);
    return { subscription: undefined, events: [{ number: undefined, ...event }] };
  }
  if (resource['resourceType'] === 'Bundle' && resource['type'] === 'history') return readBundle(resource);
  throw new NotANotification('the body is neither an AuditEvent nor a history Bundle');
}

function readEvent(resource: Json): { readonly id: string; readonly resource: string } {
  const { id } = resource;
  if (typeof id !== 'string' || !idForm.test(id)) throw new NotANotification('the AuditEvent has no id');
  return { id, resource: JSON.stringify(resource) };
}

/** Parses http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-subscription-notification-r4. */
function readBundle(bundle: Json): Notification {
  const entries = itemsOf(bundle['entry']).map(membersOf);
  const status = membersOf(entries[0]?.['resource']);
  if (status['resourceType'] !== 'Parameters') throw new NotANotification('the Bundle does not begin with Parameters');
  const parameters = itemsOf(status['parameter']).map(membersOf);
  const find = (name: string): Json | undefined => parameters.find((each) => each['name'] === name);
  const id = idIn(find('subscription')?.['valueReference'], 'Subscription');
  if (id === undefined) throw new NotANotification('the Bundle names no Subscription');
  const type = find('type')?.['valueCode'];
  const resources = new Map<string, string>();
  for (const { resource } of entries.slice(1)) {
    if (membersOf(resource)['resourceType'] !== 'AuditEvent') continue;
    const event = readEvent(membersOf(resource));
    resources.set(event.id, event.resource);
  }
  const eventParameters = parameters.filter((each) => each['name'] === 'notification-event');
  if (eventParameters.length > maxEvents) throw new NotANotification(`the Bundle has more than ${maxEvents} events`);
  const events = eventParameters.map((each) => readNotifiedEvent(each, resources));
  const numbers = events.map(({ number }) => number ?? 0);
  const newest = Math.max(0, numberOf(find('events-since-subscription-start')) ?? 0, ...numbers);
  return { subscription: { id, type: typeof type === 'string' ? type : '', newest }, events };
}

function readNotifiedEvent(parameter: Json, resources: ReadonlyMap<string, string>): NotifiedEvent {
  const parts = itemsOf(parameter['part']).map(membersOf);
  const find = (name: string): Json | undefined => parts.find((each) => each['name'] === name);
  const number = numberOf(find('event-number'));
  if (number === undefined || number === 0) throw new NotANotification('an event has no number');
  const id = idIn(find('focus')?.['valueReference'], 'AuditEvent');
  return { number, id, resource: id === undefined ? undefined : resources.get(id) };
}

/** The Backport sends numbers as strings in R4. */
function numberOf(parameter: Json | undefined): number | undefined {
  const text = parameter?.['valueString'];
  return typeof text === 'string' && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}

function idIn(reference: unknown, type: string): string | undefined {
  const text = membersOf(reference)['reference'];
  const [id = '', before] = typeof text === 'string' ? text.split('/').reverse() : [];
  return before === type && idForm.test(id) ? id : undefined;
}
