import type { AuditWrite, ResourceWrite, RevisionGuard } from '../../store/store.ts';
import { buildWriteAudits } from '../audit/record-access.ts';
import type { AccessContext } from '../port/interaction.ts';
import type { InteractionPorts } from '../port/ports.ts';
import { overlayView, storeView } from '../resource/view.ts';
import { checkRefusal, contended, maxPlans } from '../write/commit-write.ts';
import { reviewChildren } from '../write/review-children.ts';
import type { BundleEntry } from './bundle-entry.ts';
import { inEntry, type PlannedEntry, planEntries } from './plan-entries.ts';
import type { Refusals } from './refusals.ts';
import { refuseTakenIdentifiers } from './refuse-taken-identifiers.ts';

/**
 * Merges the planned writes to one unit, with one guard for each resource: the revision of its first guard, and the labels
 * that the last entry gave it, by a write or by a guard.
 */
function mergeUnit(planned: readonly PlannedEntry[]): { writes: ResourceWrite[]; guards: RevisionGuard[] } {
  const keyOf = ({ type, id }: ResourceWrite | RevisionGuard): string => `${type}/${id}`;
  const labels = new Map<string, readonly string[]>();
  const guards = new Map<string, RevisionGuard>();
  for (const { planned: entry } of planned) {
    for (const write of entry.writes) labels.set(keyOf(write), write.labels);
    for (const guard of entry.guards) {
      if (guard.labels !== undefined) labels.set(keyOf(guard), guard.labels);
      if (!guards.has(keyOf(guard))) guards.set(keyOf(guard), guard);
    }
  }
  const withLabels = <T extends ResourceWrite | RevisionGuard>(part: T): T => {
    const last = labels.get(keyOf(part));
    return last === undefined ? part : { ...part, labels: last };
  };
  const writes = planned.flatMap(({ planned: entry }) => entry.writes).map(withLabels);
  return { writes, guards: [...guards.values()].map(withLabels) };
}

/**
 * Plans the entries and makes all their writes durable in one unit, with an AuditEvent for each. Throws the issues of every
 * entry that is refused.
 */
export async function commitEntries(
  writes: readonly BundleEntry[],
  reads: readonly BundleEntry[],
  refusals: Refusals,
  context: AccessContext,
  ports: InteractionPorts,
): Promise<readonly PlannedEntry[]> {
  const newIds = new Map(writes.map((entry) => [entry.index, ports.newId()]));
  for (let round = 0; round < maxPlans; round += 1) {
    const planned = await planEntries(writes, reads, newIds, refusals, context, ports);
    refusals.throwIfAny();
    if (planned.length === 0) return [];
    const unit = mergeUnit(planned);
    const view = overlayView(storeView(ports.store));
    view.add(unit.writes, unit.guards);
    const own = context.caller.organisation.id;
    const { guards, audits: events, alarms } = await reviewChildren(unit, { own }, view, ports);
    const accesses = planned.flatMap((done) => buildWriteAudits(done.entry.request, context, done.planned, ports));
    const audits: AuditWrite[] = [...accesses, ...events];
    const result = await ports.store.commit({ writes: unit.writes, guards, audits });
    if (result.kind === 'committed') {
      ports.committed(audits);
      ports.childEvents(alarms);
      for (const done of planned) done.planned.committed?.();
      return planned;
    }
    if (result.reason === 'duplicate-key') {
      await refuseTakenIdentifiers(planned, result, refusals, context, ports);
      refusals.throwIfAny();
    }
    const refused = planned.find(({ planned: { writes } }) =>
      writes.some(({ type, id }) => type === result.type && id === result.id),
    );
    const check = () => checkRefusal(result, context.caller, ports);
    await (refused === undefined ? check() : inEntry(refused.entry, check));
  }
  throw contended();
}
