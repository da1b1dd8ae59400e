import type { AuditEvent, AuditEventAgent } from 'fhir/r4.js';
import { subsetted } from './audit-codes.ts';

const isAuthorityActing = (agent: AuditEventAgent): boolean => agent.requestor && agent.who?.reference !== undefined;

/**
 * The JSON text of an AuditEvent as an authority may have it. Of a write by another authority on a child that both hold
 * plans on, it learns which authority did what, when, and about whom; the other's client, address, token, request and
 * Flag stay out (I5), and the rest is marked SUBSETTED. Reads and searches are shown whole.
 */
export function renderForAuthority(body: string, authorityId: string): string {
  if (body.includes('"action":"E"') || body.includes('"action":"R"')) return body;
  const event = JSON.parse(body) as AuditEvent;
  const acting = event.agent.find(isAuthorityActing);
  if (acting === undefined || acting.who?.reference === `Organization/${authorityId}`) return body;
  const { profile: _, ...meta } = event.meta ?? {};
  return JSON.stringify({
    ...event,
    meta: { ...meta, tag: [subsetted] },
    agent: event.agent.filter((agent) => agent.who?.reference !== undefined),
    entity: (event.entity ?? []).filter((entity) => entity.role?.code === '1'),
  });
}
