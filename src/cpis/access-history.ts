import type { AuditEvent } from 'fhir/r4.js';

const shownAgents = new Set(['IRCP', 'PROV']);

/**
 * What NHS staff see of an AuditEvent: when, and the professional's name, role and organisation, on which patient.
 * Network addresses, the query, tokens and the custodian authorities are left out: a custodian would tell of a plan that
 * has since been withdrawn. Marked SUBSETTED.
 */
export function renderAccessHistoryEntry(body: string): string {
  const event = JSON.parse(body) as AuditEvent;
  const agents = event.agent
    .filter((agent) => shownAgents.has(agent.type?.coding?.[0]?.code ?? ''))
    .map(({ type, role, who, name, requestor }) => ({
      ...(type === undefined ? {} : { type }),
      ...(role === undefined ? {} : { role }),
      ...(who?.display === undefined
        ? {}
        : { who: { ...(who.identifier === undefined ? {} : { identifier: who.identifier }), display: who.display } }),
      ...(name === undefined ? {} : { name }),
      requestor,
    }));
  const shown: AuditEvent = {
    resourceType: 'AuditEvent',
    ...(event.id === undefined ? {} : { id: event.id }),
    meta: {
      ...(event.meta?.versionId === undefined ? {} : { versionId: event.meta.versionId }),
      ...(event.meta?.lastUpdated === undefined ? {} : { lastUpdated: event.meta.lastUpdated }),
      tag: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' }],
    },
    type: event.type,
    ...(event.subtype === undefined ? {} : { subtype: event.subtype }),
    ...(event.action === undefined ? {} : { action: event.action }),
    recorded: event.recorded,
    ...(event.outcome === undefined ? {} : { outcome: event.outcome }),
    agent: agents,
    source: event.source,
    entity: (event.entity ?? []).filter((entity) => entity.role?.code === '1'),
  };
  return JSON.stringify(shown);
}
