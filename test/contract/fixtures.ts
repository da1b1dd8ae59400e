/** Small units and values for the contract tests. */
import type { IndexValue, SearchClause, SearchPlan } from '../../src/fhir/search/ast.ts';
import type { AuditWrite, ResourceWrite, Store, StoredResource, WriteUnit } from '../../src/store/store.ts';

/** Returns a unit of the given parts; the others are empty. */
export function unit(parts: Partial<WriteUnit>): WriteUnit {
  return { writes: [], guards: [], audits: [], ...parts };
}

/** Returns the first version of a Flag, with `changes` applied. */
export function write(id: string, changes: Partial<ResourceWrite> = {}): ResourceWrite {
  const version = changes.version ?? 1;
  return {
    type: 'Flag',
    id,
    version,
    lastUpdatedMs: 1_000 + version,
    body: JSON.stringify({ resourceType: changes.type ?? 'Flag', id, meta: { versionId: String(version) } }),
    method: version === 1 ? 'POST' : 'PUT',
    labels: [],
    index: [],
    uniqueKeys: [],
    ...changes,
  };
}

export function audit(id: string, changes: Partial<AuditWrite> = {}): AuditWrite {
  return {
    id,
    recordedMs: 1_000,
    body: JSON.stringify({ resourceType: 'AuditEvent', id }),
    patients: ['Patient/9990000018'],
    agents: ['Organization/E08000035'],
    entities: ['Patient/9990000018'],
    type: 'rest',
    subtype: 'search-type',
    action: 'E',
    outcome: '0',
    labels: ['authority:E08000035'],
    deliverTo: [],
    ...changes,
  };
}

export function token(param: string, code: string, system: string | null = null): IndexValue {
  return { kind: 'token', param, system, code };
}

export function plan(clauses: readonly SearchClause[], changes: Partial<SearchPlan> = {}): SearchPlan {
  return { type: 'Flag', clauses, sort: [], limit: 100, total: false, ...changes };
}

/** Returns the ids that a search finds, in its order. */
export async function findIds(store: Store, searched: SearchPlan): Promise<string[]> {
  return (await store.search(searched)).matches.map(({ id }) => id);
}

/** Returns the resources of all pages of a search, in order. */
export async function findAllIds(
  store: Store,
  searched: SearchPlan,
  betweenPages?: () => Promise<void>,
): Promise<string[]> {
  const ids: string[] = [];
  let page = await store.search(searched);
  while (true) {
    ids.push(...page.matches.map(({ id }) => id));
    if (page.next === undefined) return ids;
    await betweenPages?.();
    page = await store.search({ ...searched, after: page.next });
  }
}

/** Returns the current version. Throws if there is none. */
export async function readFound(store: Store, type: string, id: string): Promise<StoredResource> {
  const read = await store.read(type, id);
  if (read.kind !== 'found') throw new Error(`${type} is ${read.kind}`);
  return read.resource;
}
