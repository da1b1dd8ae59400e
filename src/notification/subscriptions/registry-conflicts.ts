import type { Clock } from '../../clock/clock.ts';
import type { StoredResource } from '../../store/store.ts';

/** How long another server's status is left unchallenged. */
const unchallengedMs = 15 * 60_000;

/**
 * Remembers which Subscriptions this server has refused because of its registry. Another server, with another registry,
 * may accept the same Subscription. This prevents the two servers overwriting each other for ever.
 */
export interface RegistryConflicts {
  /** Whether to write the refusal. False for a while after another server has undone it. */
  mayWrite(stored: StoredResource): boolean;
  /** Call when the registry has changed: every refusal is written again. */
  forget(): void;
}

/** `onContested`: called once for each refusal that another server has undone and that is not repeated. */
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
      // A requested Subscription comes from a client, which must see the refusal.
      const isUndone = status === 'active' && last !== undefined && nowMs - last.atMs < unchallengedMs;
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
