import type { AuditEventEntity } from 'fhir/r4.js';
import type { AccessFacts } from './access-record.ts';
import { domainResource, patientRole, person, queryRole, requestIdType, systemObject } from './audit-codes.ts';

/** AuditEvent.entity: as JSON text, and the references in it, each once. */
export interface RenderedEntities {
  readonly text: string;
  readonly references: readonly string[];
}

const membersOf = (element: AuditEventEntity): string => JSON.stringify(element).slice(1, -1);
const query = membersOf({ type: systemObject, role: queryRole });
const domain = membersOf({ type: systemObject, role: domainResource });
const patient = membersOf({ type: person, role: patientRole });
const requestId = membersOf({ type: requestIdType });

const referTo = (reference: string, members: string): string =>
  `{"what":{"reference":${JSON.stringify(reference)}},${members}}`;

/** The entities of BALP: the query, the resource, the patients, the request's ids. Only what differs is rendered anew. */
export function renderEntities(facts: AccessFacts): RenderedEntities {
  const references = new Set<string>();
  let text = '';
  if (facts.interaction === 'search-type' || facts.outcome !== '0') {
    text += `{${query},"query":"${Buffer.from(facts.raw).toString('base64')}"},`;
  }
  const onPatient = facts.type === 'Patient' && facts.interaction !== 'search-type' && facts.patientIds.length === 1;
  const resource = facts.resource ?? (onPatient ? `Patient/${facts.patientIds[0]}` : undefined);
  if (resource !== undefined) {
    references.add(resource);
    text += `${referTo(resource, domain)},`;
  }
  for (const id of facts.patientIds) {
    references.add(`Patient/${id}`);
    text += `${referTo(`Patient/${id}`, patient)},`;
  }
  text += `{"what":{"identifier":{"value":${JSON.stringify(facts.requestId)}}},${requestId}`;
  if (facts.correlationId !== undefined) {
    text += `,"detail":${JSON.stringify([{ type: 'X-Correlation-ID', valueString: facts.correlationId }])}`;
  }
  return { text: `[${text}}]`, references: [...references] };
}
