import type { AuditEvent, AuditEventAgent } from 'fhir/r4.js';
import { subsetted } from './audit-codes.ts';

const isAuthorityActing = (agent: AuditEventAgent): boolean => agent.requestor && agent.who?.reference !== undefined;

/**
 * Returns an AuditEvent as an authority may see it. An authority sees its own accesses and every read and search as
 * they are, and then the result is the same object. Of a write by another authority on a child that both hold plans on,
 * it sees which authority did what, when, and about whom. The other authority's client, address, token, request and
 * Flag are left out (I5), and the event is marked SUBSETTED.
 */
export function shareWithAuthority(event: AuditEvent, authorityId: string): AuditEvent {
  if (event.action === 'E' || event.action === 'R') return event;
  const acting = event.agent.find(isAuthorityActing);
  if (acting === undefined || acting.who?.reference === `Organization/${authorityId}`) return event;
  const { profile: _, ...meta } = event.meta ?? {};
  return {
    ...event,
    meta: { ...meta, tag: [subsetted] },
    agent: event.agent.filter((agent) => agent.who?.reference !== undefined),
    entity: (event.entity ?? []).filter((entity) => entity.role?.code === '1'),
  };
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
