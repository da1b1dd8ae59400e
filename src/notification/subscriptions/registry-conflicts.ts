import type { Clock } from '../../clock/clock.ts';
import type { StoredResource } from '../../store/store.ts';

/** So long another server's word about a Subscription is let stand. */
const standsForMs = 15 * 60_000;

/**
 * What this server has refused because of its registry. Another server whose registry is another one may take the same
 * Subscription and say so: then the two do not write it against each other without an end.
 */
export interface RegistryConflicts {
  /** Whether the refusal is to be written. False: it was a while ago, and another server has undone it since. */
  mayWrite(stored: StoredResource): boolean;
  /** The registry is another one now: it is said anew. */
  forget(): void;
}

/** `onContested`: another server has undone what this one had refused; told once for each refusal that is let be. */
export function openRegistryConflicts(
  clock: Pick<Clock, 'elapsed'>,
  onContested: (stored: StoredResource) => void,
): RegistryConflicts {
  const written = new Map<string, { atMs: number; contested: boolean }>();
  return {
    mayWrite(stored) {
      const { status }: { status: string } = JSON.parse(stored.body);
      const nowMs = clock.elapsed();
      const last = written.get(stored.id);
      // What is requested comes from a client, which wants to be told.
      const isUndone = status === 'active' && last !== undefined && nowMs - last.atMs < standsForMs;
      if (!isUndone) {
        if (status !== 'error') written.set(stored.id, { atMs: nowMs, contested: false });
        return true;
      }
      if (!last.contested) onContested(stored);
      last.contested = true;
      return false;
    },
    forget: () => written.clear(),
  };
}
