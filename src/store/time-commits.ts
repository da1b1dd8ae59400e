import type { Store } from './store.ts';

/** Returns the store with the duration of every commit reported in seconds, including refused and failed ones. */
export function timeCommits(store: Store, observe: (seconds: number) => void): Store {
  return {
    async commit(unit) {
      const startedMs = performance.now();
      try {
        return await store.commit(unit);
      } finally {
        observe((performance.now() - startedMs) / 1000);
      }
    },
    read: (type, id) => store.read(type, id),
    readVersion: (type, id, version) => store.readVersion(type, id, version),
    search: (plan) => store.search(plan),
    history: (plan) => store.history(plan),
    listLabels: (type, prefix) => store.listLabels(type, prefix),
    useOnce: (key, expiresAtMs, nowMs) => store.useOnce(key, expiresAtMs, nowMs),
    deliveries: store.deliveries,
    ...(store.watchResources === undefined ? {} : { watchResources: store.watchResources }),
    subscriptionEvents: store.subscriptionEvents,
    get ready() {
      return store.ready;
    },
    close: () => store.close(),
  };
}
