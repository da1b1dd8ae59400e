/** What the demo reads from AuditEvents. */
import type { AuditEvent, AuditEventAgent, Bundle } from 'fhir/r4.js';
import type { FhirClient } from './fhir-client.ts';

const agentOf = (event: AuditEvent, code: string): AuditEventAgent[] =>
  event.agent.filter((agent) => agent.type?.coding?.some((coding) => coding.code === code) === true);

/** `X-Request-ID` of the request that the event tells of. */
export function requestIdOf(event: AuditEvent): string | undefined {
  return event.entity?.find((entity) => entity.type?.code === 'XrequestId')?.what?.identifier?.value;
}

/** Organization.id of each authority that holds a plan on the child, or owns what was written. */
export function custodiansOf(event: AuditEvent): string[] {
  return agentOf(event, 'custodian').map((agent) => (agent.who?.reference ?? '').slice('Organization/'.length));
}

/** Organization.id of the authority that acted itself; undefined when a professional did. */
export function actingAuthorityOf(event: AuditEvent): string | undefined {
  const [author] = agentOf(event, 'AUT');
  return author?.who?.reference?.slice('Organization/'.length);
}

/** What the access history tells: who it was, in which role, for which organisation. */
export function professionalOf(event: AuditEvent): { name: string; role: string; organisation: string } {
  const [person] = agentOf(event, 'IRCP');
  const [organisation] = agentOf(event, 'PROV');
  return {
    name: person?.name ?? '',
    role: person?.role?.[0]?.text ?? '',
    organisation: organisation?.who?.display ?? '',
  };
}

/** The AuditEvents of a search, all pages. Throws when a page is refused. */
export async function searchAllEvents(client: FhirClient, baseUrl: string, query: string): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
  let path: string | undefined = `AuditEvent?${query}`;
  while (path !== undefined) {
    const { status, body }: { status: number; body: Bundle<AuditEvent> } = await client.request('GET', path);
    if (status !== 200) throw new Error(`a search of AuditEvents was answered ${status}`);
    for (const { resource } of body.entry ?? []) if (resource !== undefined) events.push(resource);
    path = body.link?.find((link) => link.relation === 'next')?.url.slice(baseUrl.length + 1);
  }
  return events;
}
