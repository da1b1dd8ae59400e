import type { AuditEvent, CodeableConcept, Reference } from 'fhir/r4.js';
import { odsSystem, subsetted } from './audit-codes.ts';

const shownAgents = new Set(['IRCP', 'PROV']);

const codeOf = (type: CodeableConcept | undefined): string => type?.coding?.[0]?.code ?? '';

/** Keeps the ODS code of the organisation. The identifier of a professional is not shown. */
function odsCodeOf(type: CodeableConcept | undefined, { identifier }: Reference): Pick<Reference, 'identifier'> {
  return codeOf(type) === 'PROV' && identifier?.system === odsSystem ? { identifier } : {};
}

const roleSystems = new Set(['https://fhir.hl7.org.uk/CodeSystem/UKCore-SDSJobRoleName', 'http://snomed.info/sct']);
const roleCode = /^[A-Z]{0,2}[0-9]{1,18}$/;

/** Keeps the text of a role, and its coding if system and code are well known. */
function shareRole({ coding = [], text }: CodeableConcept): CodeableConcept {
  const known = coding.filter(({ system = '', code = '' }) => roleSystems.has(system) && roleCode.test(code));
  return { ...(known.length === 0 ? {} : { coding: known }), ...(text === undefined ? {} : { text }) };
}

/**
 * Builds what NHS staff see of an AuditEvent: when, the professional's name and role, the organisation with its ODS code,
 * and which patient. Network addresses, the query, tokens and ids are left out. So are the custodian authorities and the interaction, because
 * a custodian, or a read that found something, would disclose a plan that has since been withdrawn. Marked SUBSETTED.
 */
export function buildAccessHistoryEntry(event: AuditEvent): AuditEvent {
  const agents = event.agent
    .filter((agent) => shownAgents.has(codeOf(agent.type)))
    .map(({ type, role, who, name, requestor }) => ({
      ...(type === undefined ? {} : { type }),
      ...(role === undefined ? {} : { role: role.map(shareRole) }),
      ...(who?.display === undefined ? {} : { who: { ...odsCodeOf(type, who), display: who.display } }),
      ...(name === undefined ? {} : { name }),
      requestor,
    }));
  return {
    resourceType: 'AuditEvent',
    ...(event.id === undefined ? {} : { id: event.id }),
    meta: {
      ...(event.meta?.versionId === undefined ? {} : { versionId: event.meta.versionId }),
      ...(event.meta?.lastUpdated === undefined ? {} : { lastUpdated: event.meta.lastUpdated }),
      tag: [subsetted],
    },
    type: event.type,
    recorded: event.recorded,
    ...(event.outcome === undefined ? {} : { outcome: event.outcome }),
    agent: agents,
    source: event.source,
    entity: (event.entity ?? []).filter((entity) => entity.role?.code === '1'),
  };
}

/**
 * Returns the JSON text of an entry with the patient that NHS staff named in their search. An access may be recorded under
 * several NHS numbers of one person, and that would disclose a plan that has since been withdrawn.
 */
export function nameHistoryPatient(text: string, nhsNumber: string): string {
  const entry: AuditEvent = JSON.parse(text);
  const [patient] = entry.entity ?? [];
  if (patient === undefined) return text;
  return JSON.stringify({ ...entry, entity: [{ ...patient, what: { reference: `Patient/${nhsNumber}` } }] });
}
