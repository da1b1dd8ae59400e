import type { Store } from '../../src/store/store.ts';

/** What interactions have asked of a store, in words that name no id: `read Flag`, `search Patient`. */
export interface AskedOfStore {
  /** Stands around the store that is looked at. */
  readonly around: (store: Store) => Store;
  /** What was asked since this was called last, sorted: the entries of a batch are performed side by side. */
  take(): readonly string[];
}

export function watchStore(): AskedOfStore {
  let asked: string[] = [];
  return {
    around: (store) => ({
      ...store,
      read(type, id) {
        asked.push(`read ${type}`);
        return store.read(type, id);
      },
      readVersion(type, id, version) {
        asked.push(`readVersion ${type}`);
        return store.readVersion(type, id, version);
      },
      search(plan) {
        asked.push(`search ${plan.type}${plan.total ? ' with total' : ''}`);
        return store.search(plan);
      },
      history(plan) {
        asked.push('history');
        return store.history(plan);
      },
      commit(unit) {
        const { writes, guards, audits } = unit;
        asked.push(`commit ${writes.length} writes, ${guards.length} guards, ${audits.length} audits`);
        return store.commit(unit);
      },
      // `ready` is asked anew each time.
      get ready() {
        return store.ready;
      },
    }),
    take() {
      const taken = asked.sort();
      asked = [];
      return taken;
    },
  };
}
