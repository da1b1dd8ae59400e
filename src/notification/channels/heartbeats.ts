import type { Clock } from '../../clock/clock.ts';
import type { Subscriptions, UsableSubscription } from '../subscriptions/usable-subscription.ts';

export interface HeartbeatsOptions {
  readonly subscriptions: Pick<Subscriptions, 'usable' | 'onChange' | 'authorities'>;
  readonly clock: Clock;
  /** Returns when a notification was last sent to the Subscription, on `clock.elapsed()`. */
  readonly lastSentMs: (subscriptionId: string) => number | undefined;
  /** Never rejects. */
  readonly send: (to: UsableSubscription) => Promise<unknown>;
}

/**
 * Sends a heartbeat to each Subscription that asked for one and was sent nothing else for its period. Returns a
 * function that stops them.
 */
export function startHeartbeats({ subscriptions, clock, lastSentMs, send }: HeartbeatsOptions): () => void {
  const timers = new Map<string, Map<string, () => void>>();
  let stopped = false;

  function cancelAll(authority: string): void {
    for (const cancel of timers.get(authority)?.values() ?? []) cancel();
    timers.delete(authority);
  }

  const find = (authority: string, id: string): UsableSubscription | undefined =>
    subscriptions.usable(authority).find((usable) => usable.id === id && usable.status !== 'requested');

  function arm(authority: string, id: string, sinceMs: number): void {
    const periodMs = find(authority, id)?.channel.topic?.heartbeatMs;
    if (stopped || periodMs === undefined) return;
    const own = timers.get(authority) ?? new Map<string, () => void>();
    timers.set(authority, own);
    own.get(id)?.();
    const waitMs = Math.max(0, sinceMs + periodMs - clock.elapsed());
    const cancel = clock.after(waitMs, () => {
      own.delete(id);
      const lastMs = lastSentMs(id) ?? sinceMs;
      const nowMs = clock.elapsed();
      const to = find(authority, id);
      if (nowMs - lastMs < periodMs) arm(authority, id, lastMs);
      // An endpoint that has not accepted a handshake is sent nothing else.
      else if (to === undefined || to.awaitsHandshake) arm(authority, id, nowMs);
      else {
        void send(to).then(() => {
          if (timers.get(authority) === own) arm(authority, id, nowMs);
        });
      }
    });
    own.set(id, cancel);
  }

  function plan(authority: string): void {
    cancelAll(authority);
    if (stopped) return;
    timers.set(authority, new Map());
    for (const { id } of subscriptions.usable(authority)) arm(authority, id, lastSentMs(id) ?? clock.elapsed());
  }

  subscriptions.onChange(plan);
  for (const authority of subscriptions.authorities()) plan(authority);
  return () => {
    stopped = true;
    for (const authority of [...timers.keys()]) cancelAll(authority);
  };
}
