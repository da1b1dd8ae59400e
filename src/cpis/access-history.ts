import type { AuditEvent } from 'fhir/r4.js';
import { subsetted } from './audit-codes.ts';

const shownAgents = new Set(['IRCP', 'PROV']);

/**
 * What NHS staff see of an AuditEvent: when, and the professional's name, role and organisation, on which patient.
 * Network addresses, the query, tokens and ids are left out, and so are the custodian authorities and the interaction:
 * a custodian, or a read that found something, would tell of a plan that has since been withdrawn. Marked SUBSETTED.
 */
export function renderAccessHistoryEntry(body: string): string {
  const event = JSON.parse(body) as AuditEvent;
  const agents = event.agent
    .filter((agent) => shownAgents.has(agent.type?.coding?.[0]?.code ?? ''))
    .map(({ type, role, who, name, requestor }) => ({
      ...(type === undefined ? {} : { type }),
      ...(role === undefined ? {} : { role }),
      ...(who?.display === undefined ? {} : { who: { display: who.display } }),
      ...(name === undefined ? {} : { name }),
      requestor,
    }));
  const shown: AuditEvent = {
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
  return JSON.stringify(shown);
}
