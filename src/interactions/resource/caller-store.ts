import type { Caller } from '../../cpis/caller.ts';
import { patientTypeFor } from '../../cpis/statement.ts';
import type { SearchPlan } from '../../fhir/search/ast.ts';
import type { CommitResult, ReadResult, SearchResult, Store, WriteUnit } from '../../store/store.ts';

interface Typed {
  readonly type: string;
}

/**
 * Returns the store as a caller may see it: its type Patient holds the caller's own Patients. It is the only way by which
 * interactions reach a Patient, so that none of them can read, search or replace the Patient of another authority.
 */
export function callerStore(store: Store, caller: Caller): Store {
  const own = patientTypeFor(caller);
  const stored = <T extends Typed>(record: T): T => (record.type === 'Patient' ? { ...record, type: own } : record);
  const known = <T extends Typed>(record: T): T => (record.type === own ? { ...record, type: 'Patient' } : record);
  const knownRead = (result: ReadResult): ReadResult =>
    result.kind === 'found' ? { kind: 'found', resource: known(result.resource) } : result;

  async function commitStored({ writes, guards, audits }: WriteUnit): Promise<CommitResult> {
    const result = await store.commit({ writes: writes.map(stored), guards: guards.map(stored), audits });
    return result.kind === 'refused' ? known(result) : result;
  }

  async function searchOwn(plan: SearchPlan): Promise<SearchResult> {
    const result = await store.search({ ...plan, type: own });
    return { ...result, matches: result.matches.map(known) };
  }

  return {
    commit: (unit) => (unit.writes.length + unit.guards.length === 0 ? store.commit(unit) : commitStored(unit)),
    read: (type, id) => (type === 'Patient' ? store.read(own, id).then(knownRead) : store.read(type, id)),
    readVersion: (type, id, version) =>
      type === 'Patient' ? store.readVersion(own, id, version).then(knownRead) : store.readVersion(type, id, version),
    search: (plan) => (plan.type === 'Patient' ? searchOwn(plan) : store.search(plan)),
    async history(plan) {
      const result = await store.history({ ...plan, scopes: plan.scopes.map(stored) });
      return { ...result, entries: result.entries.map(known) };
    },
    listLabels: (type, prefix) => store.listLabels(type === 'Patient' ? own : type, prefix),
    useOnce: (key, expiresAtMs, nowMs) => store.useOnce(key, expiresAtMs, nowMs),
    deliveries: store.deliveries,
    subscriptionEvents: store.subscriptionEvents,
    get ready() {
      return store.ready;
    },
    close: () => store.close(),
  };
}
