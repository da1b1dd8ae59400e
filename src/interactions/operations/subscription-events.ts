import { authorise, bearsLabelFor } from '../../cpis/access-policy.ts';
import { type FhirFault, fault } from '../../fhir/fault.ts';
import { payloadContents } from '../../fhir/subscription/backport.ts';
import { type NumberedEvent, renderNotification } from '../../fhir/subscription/notification-bundle.ts';
import type { StoredResource, SubscriptionEvent } from '../../store/store.ts';
import { plainAccess, recordAccess } from '../audit/record-access.ts';
import type { AccessContext, FhirAnswer, FhirRequest } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { visibleToAuthority } from '../resource/find-resource.ts';
import { inheritsEvent } from '../resource/inherited-events.ts';
import { patientsOf, showResource } from '../resource/present-resource.ts';
import { readOperationParameters } from './operation-parameters.ts';
import { readState } from './subscription-state.ts';

/** Maximum events in one response; the client asks for the next ones by number. */
const maxEvents = 100;

function invalid(name: string, diagnostics: string): FhirFault {
  return fault('invalid', diagnostics, { expression: [name] });
}

function readRequest(request: FhirRequest) {
  const parameters = readOperationParameters(request, {
    eventsSinceNumber: false,
    eventsUntilNumber: false,
    content: false,
  });
  const numberOf = (name: string, otherwise: number): number => {
    const text = parameters.get(name)?.[0];
    if (text === undefined) return otherwise;
    if (!/^\d{1,15}$/.test(text)) throw invalid(name, 'An event number must have 1 to 15 digits.');
    return Number(text);
  };
  const since = numberOf('eventsSinceNumber', 1);
  const until = numberOf('eventsUntilNumber', Number.MAX_SAFE_INTEGER);
  if (until < since) throw invalid('eventsUntilNumber', 'eventsUntilNumber must not be less than eventsSinceNumber.');
  const wanted = parameters.get('content')?.[0];
  const content = payloadContents.find((each) => each === wanted);
  if (wanted !== undefined && content === undefined) {
    throw invalid('content', `The content must be one of: ${payloadContents.join(', ')}.`);
  }
  return { since, until, content };
}

/** Reads the events that the caller may see, in order of their numbers. */
async function readVisible(
  events: readonly SubscriptionEvent[],
  { caller }: AccessContext,
  ports: InteractionPorts,
): Promise<readonly NumberedEvent[]> {
  if (events.length === 0) return [];
  const { matches } = await ports.store.search({
    type: 'AuditEvent',
    clauses: [{ kind: 'id', any: events.map(({ auditId }) => auditId) }],
    sort: [],
    limit: events.length,
    total: false,
  });
  const byId = new Map<string, StoredResource>();
  for (const match of matches) {
    const isOwn = bearsLabelFor(caller, 'AuditEvent', match.labels);
    if (isOwn || (await inheritsEvent(match, caller.organisation.id, ports))) byId.set(match.id, match);
  }
  return events.flatMap(({ number, auditId }) => {
    const found = byId.get(auditId);
    if (found === undefined) return [];
    const body = showResource(caller, found, ports);
    return [{ number, type: 'AuditEvent', id: auditId, timestampMs: found.lastUpdatedMs, body }];
  });
}

/**
 * Performs `$events` on one Subscription: returns the events that were, or should have been, notified. It is audited
 * before it is answered. http://hl7.org/fhir/uv/subscriptions-backport/OperationDefinition/backport-subscription-events
 */
export async function subscriptionEvents(
  request: FhirRequest,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<FhirAnswer> {
  authorise(context.caller, 'Subscription', 'events');
  authorise(context.caller, 'AuditEvent', 'read');
  const { id = '' } = request;
  const { caller } = context;
  const { since, until, content: wanted } = readRequest(request);
  const stored = visibleToAuthority(await ports.store.read('Subscription', id), 'Subscription', caller);
  const owner = caller.organisation.id;
  await ports.subscriptions.allNumbered(owner);
  const { state, content: own } = await readState(stored, ports);
  if (state.topic === undefined) {
    throw fault('unprocessable', 'This Subscription has no event numbers because its criteria are not a topic.', {
      code: 'not-supported',
      expression: ['Subscription.criteria'],
    });
  }
  const { lastNumber = 0 } = state;
  if (since > lastNumber + 1) ports.subscriptions.reportNumberRegression(owner, id, lastNumber, since - 1);
  const numbered = await ports.store.subscriptionEvents.range(id, since, until, maxEvents);
  const events = await readVisible(numbered, context, ports);
  const content = wanted ?? own;
  const { baseUrl, newId } = ports;
  const body = renderNotification(state, 'query-event', events, { baseUrl, newId, nowMs: ports.clock(), content });
  const access = {
    ...plainAccess,
    patientIds: content === 'full-resource' ? [...new Set(events.flatMap((event) => patientsOf(event)))] : [],
    custodianIds: [owner],
    resource: `Subscription/${id}`,
  };
  await recordAccess(request, context, access, ports);
  return { kind: 'ok', body };
}
