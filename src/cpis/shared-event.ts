import type { AuditEvent, AuditEventAgent } from 'fhir/r4.js';
import { custodianType, subsetted } from './audit-codes.ts';

const isAuthorityActing = (agent: AuditEventAgent): boolean => agent.requestor && agent.who?.reference !== undefined;

/**
 * Names the authority as a custodian. It is missing only in an event about a plan that was transferred to the authority
 * later, and Subscriptions select by it.
 */
function nameCustodian(event: AuditEvent, reference: string): AuditEvent {
  if (event.agent.some(({ who }) => who?.reference === reference)) return event;
  return { ...event, agent: [...event.agent, { type: custodianType, who: { reference }, requestor: false }] };
}

/**
 * Leaves out the text of a refused request, marking the event SUBSETTED. It was not validated, so it may name a child whom
 * another authority holds.
 */
function leaveOutRefusedRequest(event: AuditEvent): AuditEvent {
  const { entity = [] } = event;
  const shown = entity.filter(({ query }) => query === undefined);
  if (event.outcome === '0' || event.outcome === undefined || shown.length === entity.length) return event;
  const { profile: _, ...meta } = event.meta ?? {};
  return { ...event, meta: { ...meta, tag: [subsetted] }, entity: shown };
}

/**
 * Returns an AuditEvent as an authority may see it. An authority sees its own accesses and those of NHS staff as they are,
 * and then the result is the same object; of a refused request of NHS staff it does not see the text. Of an access by another authority, to a child that both hold plans on or whose
 * plan the other one transferred to it, it sees which authority did what, when, and about whom. The other authority's
 * client, address, token, request and Flag are left out (I5), and the event is marked SUBSETTED.
 */
export function shareWithAuthority(event: AuditEvent, authorityId: string): AuditEvent {
  const reference = `Organization/${authorityId}`;
  const acting = event.agent.find(isAuthorityActing);
  if (acting?.who?.reference === reference) return nameCustodian(event, reference);
  if (acting === undefined) return nameCustodian(leaveOutRefusedRequest(event), reference);
  const { profile: _, ...meta } = event.meta ?? {};
  const shared: AuditEvent = {
    ...event,
    meta: { ...meta, tag: [subsetted] },
    agent: event.agent.filter((agent) => agent.who?.reference !== undefined),
    entity: (event.entity ?? []).filter((entity) => entity.role?.code === '1'),
  };
  return nameCustodian(shared, reference);
}

/** Renders the JSON text of an AuditEvent as an authority may see it. */
export function renderForAuthority(body: string, authorityId: string): string {
  const event: AuditEvent = JSON.parse(body);
  const shared = shareWithAuthority(event, authorityId);
  return shared === event ? body : JSON.stringify(shared);
}

const patientReference = /^Patient\/([^/]+)$/;

/** Returns the NHS numbers of the patients that an AuditEvent names in its entities, each once. */
export function patientsOfEvent({ entity = [] }: AuditEvent): readonly string[] {
  const found = new Set<string>();
  for (const { what } of entity) {
    const id = patientReference.exec(what?.reference ?? '')?.[1];
    if (id !== undefined) found.add(id);
  }
  return [...found];
}

/**
 * Returns the NHS numbers of an AuditEvent that is about one child. They are several if a demographics service links them: NHS
 * staff ask for one patient, and an event of the server is about one. Returns none for the search of an authority.
 */
export function numbersOfChild(event: AuditEvent): readonly string[] {
  const numbers = patientsOfEvent(event);
  return numbers.length > 1 && event.agent.some(isAuthorityActing) ? [] : numbers;
}
