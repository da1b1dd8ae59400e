import type { Clock } from '../../clock/clock.ts';
import type { Store } from '../../store/store.ts';
import type { Deliver } from '../channels/deliver.ts';
import { longestDelayMs } from '../outbound-http/schedule.ts';
import type { Sender } from '../outbound-http/sender.ts';
import type { SelectEvent } from '../subscriptions/select-event.ts';
import type { Subscriptions } from '../subscriptions/usable-subscription.ts';
import { AuthorityQueue } from './authority-queue.ts';
import type { AuthorityQueueContext, QueueSnapshot } from './authority-queue-context.ts';
import { requeueAll } from './requeue.ts';
import { SendSlots } from './send-slots.ts';

export interface DispatcherLimits {
  /** Maximum deliveries sent in parallel to one authority. */
  readonly perAuthority: number;
  /** The same over all authorities, not counting the first of each authority, which is always allowed. */
  readonly total: number;
  /** Maximum deliveries sent to one authority in a second, on average. */
  readonly perSecond: number;
  /** Maximum deliveries leased in one claim. */
  readonly pageSize: number;
  /** How long a lease lasts. Must be longer than the sender's deadline. */
  readonly leaseMs: number;
  readonly deadlineMs: number;
  /** Polling interval for due deliveries, in case another instance died. */
  readonly queryEveryMs: number;
  /** How long `stop` waits for attempts in flight before it cuts their connections. */
  readonly stopGraceMs: number;
}

export const defaultDispatcherLimits: DispatcherLimits = {
  perAuthority: 8,
  total: 256,
  perSecond: 500,
  pageSize: 64,
  leaseMs: 90_000,
  deadlineMs: 30_000,
  queryEveryMs: 60_000,
  stopGraceMs: 5_000,
};

export interface DispatcherOptions {
  readonly store: Pick<Store, 'deliveries'>;
  readonly subscriptions: Pick<Subscriptions, 'usable' | 'failing' | 'recovered' | 'onChange'>;
  readonly selectEvent: SelectEvent;
  /** Returns the JSON text of an AuditEvent as the authority may see it. It is matched and sent in this form. */
  readonly renderEvent: (body: string, authority: string) => string;
  readonly deliver: Deliver;
  readonly sender: Pick<Sender, 'close'>;
  readonly clock: Clock;
  /** Returns numbers in [0, 1), for jitter. */
  readonly random: () => number;
  readonly limits: DispatcherLimits;
  /** Called after each attempt; `result` is `acknowledged` or the class of the failure. */
  readonly onAttempt?: (authority: string, result: string, durationMs: number) => void;
  /** Called when a delivery has been parked; `reason` is the class of its last failure. */
  readonly onParked?: (authority: string, auditId: string, reason: string) => void;
  /** Called with errors of the store. Delivery goes on. */
  readonly onError: (error: unknown) => void;
}

/** What the dispatcher is doing, for metrics and the operator. */
interface DispatcherSnapshot {
  /** Attempts since the start, by result. */
  readonly attempts: ReadonlyMap<string, number>;
  readonly queues: readonly QueueSnapshot[];
  /** Nothing is in flight: nothing more happens before a timer fires or a call comes. */
  readonly isIdle: boolean;
}

export interface Dispatcher {
  /** Call when deliveries have been committed for this authority. Returns at once. */
  wake(authority: string): void;
  /**
   * Makes all waiting deliveries of an authority due now and resets parked ones. Returns the count. Rejects if the
   * store fails.
   */
  replay(authority: string): Promise<number>;
  snapshot(): DispatcherSnapshot;
  /** Gives leases back, waits for attempts in flight within the grace period, and cuts the rest. */
  stop(): Promise<void>;
}

const dueQueryGapMs = 1_000;
const clockStepMs = 60_000;

/** Starts delivering what the store holds. Never throws: a store that cannot be read is asked again. */
export function startDispatcher(options: DispatcherOptions): Dispatcher {
  const { store, subscriptions, sender, clock, limits, onError } = options;
  const { deliveries } = store;
  const queues = new Map<string, AuthorityQueue>();
  const attempts = new Map<string, number>();
  let stopped = false;
  let cancelDueQuery: (() => void) | undefined;
  let cancelNextQuery = (): void => undefined;
  let lastDueQueryMs = Number.NEGATIVE_INFINITY;
  let isQuerying = false;
  /** The Subscriptions may have changed since the last process marked events as unmatched. */
  let recheckAll = true;

  const context: AuthorityQueueContext = {
    ...options,
    ...limits,
    deliveries,
    slots: new SendSlots(limits.total, limits.perAuthority),
    onAttempt: (authority, result, durationMs) => {
      attempts.set(result, (attempts.get(result) ?? 0) + 1);
      options.onAttempt?.(authority, result, durationMs);
    },
    onParked: (authority, auditId, reason) => options.onParked?.(authority, auditId, reason),
    askDue: () => askDue(),
  };

  function queueOf(authority: string): AuthorityQueue {
    const known = queues.get(authority);
    if (known !== undefined) return known;
    const queue = new AuthorityQueue(authority, context);
    queues.set(authority, queue);
    return queue;
  }

  /** One query serves all queues that ask within the gap. */
  function askDue(leastMs = 0): void {
    if (stopped || cancelDueQuery !== undefined) return;
    const waitMs = Math.max(0, lastDueQueryMs + dueQueryGapMs - clock.elapsed());
    cancelDueQuery = clock.after(Math.max(waitMs, leastMs), () => void queryDue());
  }

  async function queryDue(): Promise<void> {
    lastDueQueryMs = clock.elapsed();
    cancelDueQuery = undefined;
    isQuerying = true;
    try {
      const backlog = await deliveries.backlog();
      for (const { authority, nextDueMs, unmatched } of backlog) {
        if (recheckAll && unmatched > 0 && !stopped) queueOf(authority).recheckUnmatched();
        if (nextDueMs !== undefined && !stopped) await schedule(authority, nextDueMs);
      }
      recheckAll = false;
    } catch (error) {
      onError(error);
      askDue(5 * dueQueryGapMs);
    } finally {
      isQuerying = false;
    }
  }

  /**
   * No delivery is due later than the longest delay or a lease allows. If one is, the wall clock was set back: requeue.
   */
  async function schedule(authority: string, nextDueMs: number): Promise<void> {
    const nowMs = clock.now();
    const queue = queueOf(authority);
    if (nextDueMs <= nowMs + longestDelayMs + limits.leaseMs + clockStepMs) {
      queue.dueAt(nextDueMs);
      return;
    }
    await requeueAll(deliveries, authority, nowMs, 'waiting');
    queue.wake();
  }

  subscriptions.onChange((authority) => {
    if (!stopped) queueOf(authority).restart();
  });
  function queryRegularly(): void {
    askDue();
    cancelNextQuery = clock.after(limits.queryEveryMs, queryRegularly);
  }
  queryRegularly();
  const unwatch = deliveries.watch?.((authority) => {
    if (!stopped) queueOf(authority).wake();
  });

  async function stop(): Promise<void> {
    stopped = true;
    const unwatched = unwatch?.();
    cancelDueQuery?.();
    cancelNextQuery();
    for (const queue of queues.values()) queue.halt();
    const settled = Promise.all([...queues.values()].map((queue) => queue.settled()));
    const graceOver = Promise.withResolvers<void>();
    const cancelGrace = clock.after(limits.stopGraceMs, graceOver.resolve);
    await Promise.race([settled, graceOver.promise]);
    cancelGrace();
    await sender.close();
    await settled;
    await unwatched;
  }

  return {
    wake: (authority) => {
      if (!stopped) queueOf(authority).wake();
    },
    replay: async (authority) => {
      const parked = await requeueAll(deliveries, authority, clock.now(), 'parked');
      const waiting = await requeueAll(deliveries, authority, clock.now(), 'waiting');
      if (!stopped) queueOf(authority).restart();
      return parked + waiting;
    },
    snapshot: () => ({
      attempts: new Map(attempts),
      queues: [...queues.values()].map((queue) => queue.snapshot()),
      isIdle: !isQuerying && [...queues.values()].every((queue) => queue.snapshot().inFlight === 0),
    }),
    stop,
  };
}
