import type { AuditEvent } from 'fhir/r4.js';
import { subsetted } from './audit-codes.ts';

const shownAgents = new Set(['IRCP', 'PROV']);

/**
 * Builds what NHS staff see of an AuditEvent: when, the professional's name, role and organisation, and which patient.
 * Network addresses, the query, tokens and ids are left out. So are the custodian authorities and the interaction, because
 * a custodian, or a read that found something, would disclose a plan that has since been withdrawn. Marked SUBSETTED.
 */
export function buildAccessHistoryEntry(event: AuditEvent): AuditEvent {
  const agents = event.agent
    .filter((agent) => shownAgents.has(agent.type?.coding?.[0]?.code ?? ''))
    .map(({ type, role, who, name, requestor }) => ({
      ...(type === undefined ? {} : { type }),
      ...(role === undefined ? {} : { role }),
      ...(who?.display === undefined ? {} : { who: { display: who.display } }),
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
