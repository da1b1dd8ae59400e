import type { AuditEvent } from 'fhir/r4.js';
import { buildServerAgents } from './access-agents.ts';
import { auditSource } from './access-record.ts';
import { cpisRoot, custodianType, patientRole, person } from './audit-codes.ts';
import { viewerLabel } from './labels.ts';

/** An NHS number on which an authority holds plans was replaced, or is no longer in use and has no successor. */
export interface NumberEvent {
  /** Id of the AuditEvent. */
  readonly id: string;
  readonly recordedMs: number;
  readonly authorityId: string;
  readonly number: string;
  /** Undefined if there is none, or if it may not be disclosed. */
  readonly newNumber: string | undefined;
}

/** `AuditEvent.type` of these events. */
export const numberChangeType = {
  system: `${cpisRoot}/CodeSystem/audit-event-type`,
  code: 'nhs-number-change',
  display: 'NHS number change',
} as const;

/** Codes of profiles/cpis-nhs-number-change-code-system.json. */
const displays = { replaced: 'Number replaced', inactive: 'Number inactive' } as const;

/** Builds the AuditEvent of such an event, of which this authority is notified. It holds the numbers and nothing else of the child. */
export function recordNumberEvent({ id, recordedMs, authorityId, number, newNumber }: NumberEvent, baseUrl: string) {
  const recorded = new Date(recordedMs).toISOString();
  const reference = `Organization/${authorityId}`;
  const code = newNumber === undefined ? 'inactive' : 'replaced';
  const numbers: readonly (readonly [string, string])[] = [
    [number, 'old'],
    ...(newNumber === undefined ? [] : [[newNumber, 'new'] as const]),
  ];
  const resource: AuditEvent = {
    resourceType: 'AuditEvent',
    id,
    meta: {
      versionId: '1',
      lastUpdated: recorded,
      profile: [`${cpisRoot}/StructureDefinition/cpis-nhs-number-event`],
    },
    type: numberChangeType,
    subtype: [{ system: `${cpisRoot}/CodeSystem/nhs-number-change`, code, display: displays[code] }],
    action: 'U',
    recorded,
    outcome: '0',
    agent: [...buildServerAgents(baseUrl), { type: custodianType, who: { reference }, requestor: false }],
    source: auditSource(baseUrl),
    entity: numbers.map(([nhsNumber, use]) => ({
      what: { reference: `Patient/${nhsNumber}` },
      type: person,
      role: patientRole,
      detail: [{ type: 'use', valueString: use }],
    })),
  };
  const patients = numbers.map(([nhsNumber]) => `Patient/${nhsNumber}`);
  return {
    id,
    recordedMs,
    body: JSON.stringify(resource),
    patients,
    agents: [reference],
    entities: patients,
    type: numberChangeType.code,
    subtype: code,
    action: 'U',
    outcome: '0',
    labels: [viewerLabel(authorityId)],
    deliverTo: [authorityId],
  } as const;
}
