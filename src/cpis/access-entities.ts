import type { AuditEventEntity } from 'fhir/r4.js';
import type { AccessFacts, AuditPiece } from './access-facts.ts';
import { domainResource, patientRole, person, queryRole, requestIdType, systemObject } from './audit-codes.ts';
import { interactionTable } from './interaction-table.ts';
import { redactRequest } from './redact-request.ts';

/** `AuditEvent.entity` as pieces of JSON text, and the references in it, each once. */
export interface RenderedEntities {
  readonly pieces: readonly AuditPiece[];
  readonly references: readonly string[];
}

const membersOf = (element: AuditEventEntity): string => JSON.stringify(element).slice(1, -1);
const query = { text: `[{${membersOf({ type: systemObject, role: queryRole })},"query":"` };
const domain = { text: `},${membersOf({ type: systemObject, role: domainResource })}},{"what":{` };
const patient = { text: `},${membersOf({ type: person, role: patientRole })}},{"what":{` };
const requestId = { text: `}},${membersOf({ type: requestIdType })}` };

/** Renders the entities of BALP: the query, the resource, the patients and the ids of the request. */
export function renderEntities(facts: AccessFacts): RenderedEntities {
  const references = new Set<string>();
  const pieces: AuditPiece[] = [];
  if (interactionTable[facts.interaction].isQuery === true || facts.outcome !== '0') {
    pieces.push(query, `${Buffer.from(redactRequest(facts.raw)).toString('base64')}"},{"what":{`);
  } else {
    pieces.push('[{"what":{');
  }
  const refer = (reference: string, members: AuditPiece): void => {
    references.add(reference);
    pieces.push(`"reference":${JSON.stringify(reference)}`, members);
  };
  const ofType = facts.interaction === 'search-type' || facts.interaction === 'history-type';
  const onPatient = facts.type === 'Patient' && !ofType && facts.patientIds.length === 1;
  const resource = facts.resource ?? (onPatient ? `Patient/${facts.patientIds[0]}` : undefined);
  if (resource !== undefined) refer(resource, domain);
  for (const id of facts.patientIds) refer(`Patient/${id}`, patient);
  pieces.push(`"identifier":{"value":${JSON.stringify(facts.requestId)}`, requestId);
  if (facts.correlationId !== undefined) {
    pieces.push(`,"detail":${JSON.stringify([{ type: 'X-Correlation-ID', valueString: facts.correlationId }])}`);
  }
  pieces.push('}]');
  return { pieces, references: [...references] };
}
