import fc from 'fast-check';
import type { Store } from '../../src/store/store.ts';

/** The part of a store that a sweep uses. */
export type FailingStore = Pick<Store, 'search' | 'read' | 'commit'>;

/** What becomes of a commit. */
export const fault = fc.constantFrom('none', 'none', 'refused', 'lost', 'unknown', 'changed');

/** Returns true for an error that `failing` throws. */
export function isKill(error: unknown): boolean {
  return /was killed/.test(String(error));
}

/** A store whose commits fail as the list says, one after the other, and then no more. */
export function failing(store: Store, faults: readonly string[]): FailingStore {
  const waiting = [...faults];
  const commit: Store['commit'] = async (unit) => {
    const { type = '', id = '' } = unit.guards[0] ?? {};
    switch (waiting.shift()) {
      case 'refused':
        return { kind: 'refused', reason: 'version-conflict', type, id };
      case 'lost':
        throw new Error('the process was killed before the commit');
      case 'unknown':
        await store.commit(unit);
        throw new Error('the process was killed after the commit');
      case 'changed': {
        // Somebody else guards the record between the read and the commit.
        const read = await store.read(type, id);
        if (read.kind !== 'found') throw new Error('the record is missing');
        const expectRevision = read.resource.revision;
        await store.commit({ writes: [], guards: [{ type, id, expectRevision }], audits: [] });
        return store.commit(unit);
      }
      default:
        return store.commit(unit);
    }
  };
  return { commit, read: (...asked) => store.read(...asked), search: (plan) => store.search(plan) };
}
