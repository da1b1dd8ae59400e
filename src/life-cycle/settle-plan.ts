import type { Flag } from 'fhir/r4.js';
import { londonDate } from '../cpis/london-date.ts';
import { parsePlan } from '../cpis/plan.ts';
import { decideToday, type EventRule, type OpenPlan, type PlanEvent } from '../cpis/plan-event.ts';
import { recordPlanEvent } from '../cpis/plan-event-record.ts';
import type { IndexValue } from '../fhir/search/ast.ts';
import type { AuditWrite, ResourceWrite, Store, StoredResource } from '../store/store.ts';

export interface SettlePlanOptions {
  readonly store: Pick<Store, 'search' | 'read' | 'commit'>;
  /** Returns the search index of a Flag. */
  readonly indexOf: (flag: unknown) => readonly IndexValue[];
  readonly newAuditId: () => string;
  readonly baseUrl: string;
  /** Returns epoch milliseconds. */
  readonly now: () => number;
  /** Called after each commit with the AuditEvents that became durable. */
  readonly committed: (audits: readonly AuditWrite[]) => void;
  /** Called for each event once it is durable. */
  readonly onEvent: (event: PlanEvent, authorityId: string, planId: string) => void;
}

/** Maximum times that one plan is looked at again because others keep changing it. */
const maxRounds = 100;

function openPlanOf(stored: StoredResource): OpenPlan | undefined {
  const plan = parsePlan(stored);
  if (plan.status !== 'active') return undefined;
  return { plan, labels: stored.labels, writtenOn: londonDate(stored.lastUpdatedMs) };
}

/** Builds the version that ends a plan. */
function endVersion(
  stored: StoredResource,
  end: string,
  labels: readonly string[],
  { indexOf, now }: SettlePlanOptions,
): ResourceWrite {
  const { type, id } = stored;
  const flag: Flag = JSON.parse(stored.body);
  const version = stored.version + 1;
  const lastUpdatedMs = Math.max(now(), stored.lastUpdatedMs);
  const next: Flag = {
    ...flag,
    meta: { ...flag.meta, versionId: String(version), lastUpdated: new Date(lastUpdatedMs).toISOString() },
    status: 'inactive',
    period: { ...flag.period, end },
  };
  // The Flag keeps the keys of its references.
  const uniqueKeys: readonly string[] = [];
  return {
    ...{ type, id, version, lastUpdatedMs, labels, uniqueKeys },
    body: JSON.stringify(next),
    method: 'PUT',
    index: indexOf(next),
  };
}

/**
 * Writes what is due for an open plan: its events with their deliveries, the marks that say so, and its end, in one unit.
 * If the Flag has changed meanwhile, looks at it again. Returns the plan as it is afterwards; undefined if it is not open.
 */
export async function settlePlan(
  found: StoredResource,
  rule: EventRule,
  options: SettlePlanOptions,
): Promise<OpenPlan | undefined> {
  const { store, newAuditId, baseUrl, now, committed, onEvent } = options;
  let stored = found;
  for (let round = 0; round < maxRounds; round += 1) {
    const open = openPlanOf(stored);
    if (open === undefined) return undefined;
    const { events, labels, end } = decideToday(open, rule);
    if (events.length === 0) return open;
    const { type, id, revision: expectRevision } = stored;
    const { authorityId } = open.plan;
    const audits = events.map((event) =>
      recordPlanEvent({ id: newAuditId(), recordedMs: now(), planId: id, authorityId, event }, baseUrl),
    );
    const result = await store.commit({
      writes: end === undefined ? [] : [endVersion(stored, end, labels, options)],
      guards: [{ type, id, expectRevision, labels }],
      audits,
    });
    if (result.kind === 'committed') {
      committed(audits);
      for (const event of events) onEvent(event, authorityId, id);
      return end === undefined ? { ...open, labels } : undefined;
    }
    const read = await store.read(type, id);
    if (read.kind !== 'found') return undefined;
    stored = read.resource;
  }
  throw new Error('a plan kept changing while its life cycle was settled');
}
