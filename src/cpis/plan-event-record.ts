import type { AuditEvent } from 'fhir/r4.js';
import { buildServerAgents } from './access-agents.ts';
import { auditSource } from './access-record.ts';
import { cpisRoot, custodianType, domainResource, systemObject } from './audit-codes.ts';
import { viewerLabel } from './labels.ts';
import { type PlanEvent, planEventDisplays } from './plan-event.ts';

/** An event of the life cycle of a plan, which is recorded and of which its authority is notified. */
export interface RecordedPlanEvent {
  /** Id of the AuditEvent. */
  readonly id: string;
  readonly recordedMs: number;
  readonly planId: string;
  readonly authorityId: string;
  readonly event: PlanEvent;
  /** False: the authority may see the event, and is not notified of it. Default true. */
  readonly notifies?: boolean;
}

/** `AuditEvent.type` of these events. */
export const planLifeCycleType = {
  system: `${cpisRoot}/CodeSystem/audit-event-type`,
  code: 'plan-life-cycle',
  display: 'Plan life cycle',
} as const;

/**
 * Builds the AuditEvent of such an event: which plan, which event and its date, and nothing of the child. Its authority may
 * see it and is notified. The action is an update, so that a Subscription for accesses (`action=E,R`) does not select it.
 */
export function recordPlanEvent(recorded: RecordedPlanEvent, baseUrl: string) {
  const { id, recordedMs, planId, authorityId, event, notifies = true } = recorded;
  const instant = new Date(recordedMs).toISOString();
  const reference = `Organization/${authorityId}`;
  const { code, date } = event;
  const resource: AuditEvent = {
    resourceType: 'AuditEvent',
    id,
    meta: {
      versionId: '1',
      lastUpdated: instant,
      profile: [`${cpisRoot}/StructureDefinition/cpis-plan-life-cycle-event`],
    },
    type: planLifeCycleType,
    subtype: [{ system: `${cpisRoot}/CodeSystem/plan-life-cycle`, code, display: planEventDisplays[code] }],
    action: 'U',
    recorded: instant,
    outcome: '0',
    agent: [...buildServerAgents(baseUrl), { type: custodianType, who: { reference }, requestor: false }],
    source: auditSource(baseUrl),
    entity: [
      {
        what: { reference: `Flag/${planId}` },
        type: systemObject,
        role: domainResource,
        detail: [{ type: 'date', valueString: date }],
      },
    ],
  };
  return {
    id,
    recordedMs,
    body: JSON.stringify(resource),
    patients: [],
    agents: [reference],
    entities: [`Flag/${planId}`],
    type: planLifeCycleType.code,
    subtype: code,
    action: 'U',
    outcome: '0',
    labels: [viewerLabel(authorityId)],
    deliverTo: notifies ? [authorityId] : [],
  } as const;
}
