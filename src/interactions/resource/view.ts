import { lastDayLabelled } from '../../cpis/labels.ts';
import { type Plan, parsePlan } from '../../cpis/plan.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import { searchAll } from '../../store/search-all.ts';
import type { ReadResult, ResourceWrite, RevisionGuard, Store, StoredResource } from '../../store/store.ts';

/** Reads on which a write is planned. A transaction overlays the store with its own earlier entries. */
export interface View {
  read(type: string, id: string): Promise<ReadResult>;
  /** Returns each plan on the patient that is not deleted, whatever its status and authority. */
  plansOf(patientId: string): Promise<readonly Plan[]>;
}

/** Returns the clause that selects the Flags or AuditEvents of any of these patients. */
export function onPatients(patientIds: readonly string[]): SearchClause {
  return {
    kind: 'reference',
    param: 'patient',
    any: patientIds.map((id) => ({ kind: 'literal', type: 'Patient', id })),
  };
}

/** Returns all Flags on any of these patients that also meet `clauses`. */
export function searchFlagsOf(
  store: Pick<Store, 'search'>,
  patientIds: readonly string[],
  clauses: readonly SearchClause[] = [],
): Promise<readonly StoredResource[]> {
  const onPatient = onPatients(patientIds);
  return searchAll(store, { type: 'Flag', clauses: [onPatient, ...clauses] });
}

export function storeView(store: Pick<Store, 'read' | 'search'>): View {
  return {
    read: (type, id) => store.read(type, id),
    async plansOf(patientId) {
      const flags = await searchFlagsOf(store, [patientId]);
      return flags.map(parsePlan);
    },
  };
}

export interface OverlayView extends View {
  /** Makes planned writes visible to later reads. Call it at most once for each resource. */
  add(writes: readonly ResourceWrite[], guards: readonly RevisionGuard[]): void;
}

/** Returns a function that calls `find` once for each key. */
function remember<T>(find: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const found = new Map<string, Promise<T>>();
  return (key) => {
    const known = found.get(key) ?? find(key);
    found.set(key, known);
    return known;
  };
}

/**
 * Builds a view that shows planned writes which are not committed yet. Revisions are taken from the base view so that
 * the commit check still applies. The base view is read once for each resource and each patient, so that plans are
 * never combined with a revision that is younger than they are.
 */
export function overlayView(base: View): OverlayView {
  const written = new Map<string, ResourceWrite>();
  const labels = new Map<string, readonly string[]>();
  const ownPlans = new Map<string, Map<string, Plan>>();
  const plansBelow = remember((patientId) => base.plansOf(patientId));
  const readBelow = remember((key) => {
    const [type = '', id = ''] = key.split('/');
    return base.read(type, id);
  });

  async function read(type: string, id: string): Promise<ReadResult> {
    const key = `${type}/${id}`;
    const below = await readBelow(key);
    const write = written.get(key);
    const revision = below.kind === 'found' ? below.resource.revision : below.kind === 'deleted' ? below.revision : 0;
    if (write !== undefined) {
      const current = labels.get(key) ?? write.labels;
      if (write.body === null) return { kind: 'deleted', version: write.version, revision, labels: current };
      const { version, lastUpdatedMs, body } = write;
      return { kind: 'found', resource: { type, id, version, lastUpdatedMs, body, labels: current, revision } };
    }
    const touched = labels.get(key);
    if (below.kind !== 'found' || touched === undefined) return below;
    return { kind: 'found', resource: { ...below.resource, labels: touched } };
  }

  function addPlan(write: ResourceWrite): void {
    if (write.type !== 'Flag' || write.body === null) return;
    const plan = parsePlan({ ...write, body: write.body });
    const ofPatient = ownPlans.get(plan.patientId) ?? new Map<string, Plan>();
    ownPlans.set(plan.patientId, ofPatient.set(plan.id, plan));
  }

  return {
    read,
    async plansOf(patientId) {
      const below = (await plansBelow(patientId)).filter((plan) => !written.has(`Flag/${plan.id}`));
      return [...below, ...(ownPlans.get(patientId)?.values() ?? [])].map((plan) => {
        // A corrected birth date gives the plans another last day.
        const touched = labels.get(`Flag/${plan.id}`);
        return touched === undefined ? plan : { ...plan, lastDay: lastDayLabelled(touched) };
      });
    },
    add(writes, guards) {
      for (const write of writes) {
        written.set(`${write.type}/${write.id}`, write);
        labels.set(`${write.type}/${write.id}`, write.labels);
        addPlan(write);
      }
      for (const guard of guards) if (guard.labels !== undefined) labels.set(`${guard.type}/${guard.id}`, guard.labels);
    },
  };
}
