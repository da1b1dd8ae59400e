/**
 * The rate limit that all servers share: time is cut into slots, and each request first uses one up in the store, where a
 * single-use key can be used once only, on whichever server.
 */
import type { Clock } from '../../clock/clock.ts';
import type { Store } from '../../store/store.ts';

export interface SharedRate {
  /**
   * Waits for a free slot. Returns false, without using one, if none begins within `waitMs`. Rejects as the store does.
   */
  take(waitMs: number): Promise<boolean>;
}

/** A key is kept for longer than the clocks of two servers can differ. */
const keptMs = 60_000;

export function openSharedRate(
  perSecond: number,
  store: Pick<Store, 'useOnce'>,
  clock: Pick<Clock, 'now' | 'after'>,
): SharedRate {
  const slotMs = 1_000 / perSecond;
  let next = 0;
  return {
    async take(waitMs) {
      const untilMs = clock.now() + waitMs;
      while (true) {
        const nowMs = clock.now();
        const slot = Math.max(next, Math.floor(nowMs / slotMs));
        const startMs = slot * slotMs;
        if (startMs > untilMs) return false;
        next = slot + 1;
        const isFree = await store.useOnce(`pds:${perSecond}:${slot}`, Math.ceil(startMs + keptMs), nowMs);
        if (!isFree) continue;
        const restMs = startMs - clock.now();
        if (restMs > 0) await new Promise<void>((resolve) => void clock.after(restMs, resolve));
        return true;
      }
    },
  };
}
