/** Reads the facts of AuditEvents that the demo and the tests check. */
import type { AuditEvent, AuditEventAgent, Bundle } from 'fhir/r4.js';
import type { FhirClient } from './fhir-client.ts';

const agentOf = (event: AuditEvent, code: string): AuditEventAgent[] =>
  event.agent.filter((agent) => agent.type?.coding?.some((coding) => coding.code === code) === true);

/** Returns the `X-Request-ID` of the request that the event records. */
export function requestIdOf(event: AuditEvent): string | undefined {
  return event.entity?.find((entity) => entity.type?.code === 'XrequestId')?.what?.identifier?.value;
}

/** Returns the custodians: the authorities with a visible plan on the child, or the owner of the written resource. */
export function custodiansOf(event: AuditEvent): string[] {
  return agentOf(event, 'custodian').map((agent) => (agent.who?.reference ?? '').slice('Organization/'.length));
}

/** Returns the Organization.id of the acting authority; undefined if a professional acted. */
export function actingAuthorityOf(event: AuditEvent): string | undefined {
  const [author] = agentOf(event, 'AUT');
  return author?.who?.reference?.slice('Organization/'.length);
}

/** Returns name, role and organisation of the professional, as the access history shows them. */
export function professionalOf(event: AuditEvent): { name: string; role: string; organisation: string } {
  const [person] = agentOf(event, 'IRCP');
  const [organisation] = agentOf(event, 'PROV');
  return {
    name: person?.name ?? '',
    role: person?.role?.[0]?.text ?? '',
    organisation: organisation?.who?.display ?? '',
  };
}

/** Returns the AuditEvents of a search from all pages. Rejects if a page is refused. */
export async function searchAllEvents(client: FhirClient, baseUrl: string, query: string): Promise<AuditEvent[]> {
  const events: AuditEvent[] = [];
  let path: string | undefined = `AuditEvent?${query}`;
  while (path !== undefined) {
    const { status, body }: { status: number; body: Bundle<AuditEvent> } = await client.request('GET', path);
    if (status !== 200) throw new Error(`the search of AuditEvents returned status ${status}`);
    for (const { resource } of body.entry ?? []) if (resource !== undefined) events.push(resource);
    path = body.link?.find((link) => link.relation === 'next')?.url.slice(baseUrl.length + 1);
  }
  return events;
}
