/** The queue of deliveries: each AuditEvent is delivered once to each local authority that it names. */

/** A delivery whose lease this process holds. */
export interface ClaimedDelivery {
  /** The AuditEvent's id. With `authority` it identifies the delivery, and it is the idempotency key of the notification. */
  readonly auditId: string;
  readonly authority: string;
  readonly recordedMs: number;
  /** The AuditEvent's JSON text. */
  readonly body: string;
  /** Failed attempts so far. */
  readonly attempts: number;
  readonly parked: boolean;
  /** Ids of the Subscriptions that have already acknowledged this event. */
  readonly acknowledgedBy: readonly string[];
  readonly leaseToken: string;
}

/** The outcome of an attempt. Only `delivered` ends a delivery. */
export type Settlement =
  /** A 2xx from each Subscription that matches. Recorded even if the lease has been lost: delivered stays delivered. */
  | { readonly kind: 'delivered'; readonly acknowledgedBy: readonly string[]; readonly atMs: number }
  /** Fenced by the lease token: a stale failure changes nothing. `attempts` grows by one unless `spendAttempt` is false. */
  | {
      readonly kind: 'failed';
      readonly dueMs: number;
      /** A short class such as `timeout`, `status-503`, `refused-address`; never a value from the network. */
      readonly reason: string;
      readonly acknowledgedBy: readonly string[];
      readonly spendAttempt: boolean;
      /** True: parks a delivery that fails repeatedly while others succeed. It stays parked, and is still tried. */
      readonly park?: boolean;
    }
  /** No Subscription matches. From `atMs` it is neither undelivered nor claimed until `requeue` returns it; fenced. */
  | { readonly kind: 'unmatched'; readonly atMs: number }
  /** Releases the lease unused, due as before; fenced. */
  | { readonly kind: 'released' };

export interface DeliveryBacklog {
  readonly authority: string;
  /** Not yet delivered, including leased and parked deliveries but not unmatched ones. */
  readonly undelivered: number;
  readonly leased: number;
  /** Part of `undelivered`. */
  readonly parked: number;
  readonly unmatched: number;
  /** `recordedMs` of the oldest undelivered one that is not parked; undefined if there is none. */
  readonly oldestRecordedMs: number | undefined;
  /** `recordedMs` of the oldest parked one; undefined if there is none. */
  readonly oldestParkedMs: number | undefined;
  /** `recordedMs` of the oldest unmatched one; undefined if there is none. */
  readonly oldestUnmatchedMs: number | undefined;
  /** When the next one can be claimed (the end of a lease counts), epoch milliseconds; undefined if there is none. */
  readonly nextDueMs: number | undefined;
  readonly delivered: number;
}

/** A breach of the delivery limit: something was undelivered for longer than allowed. Kept for ever. */
export interface DeliveryBreach {
  readonly authority: string;
  /** `parked`: the endpoint rejected one event repeatedly; `overdue`: any other cause. */
  readonly kind: 'overdue' | 'parked';
  /** `recordedMs` of the oldest undelivered event. With `authority` and `kind` it identifies the breach. */
  readonly oldestRecordedMs: number;
  readonly atMs: number;
  /** Number of undelivered events at that time. */
  readonly undelivered: number;
}

/**
 * Which deliveries `requeue` returns to the queue.
 * - `waiting`: all that are backing off or were recorded by a clock that is ahead, including parked ones. Attempts are kept.
 * - `parked`: parked ones only. They are no longer parked and have no attempts.
 * - `unmatched`: those marked unmatched before the given time. The earliest mark comes first, so that events that stay
 *   unmatched are not returned again in the same pass.
 * - `unmatched-ahead`: those marked unmatched after that time, by a clock that has since been set back.
 */
export type RequeueOf = 'waiting' | 'parked' | 'unmatched' | 'unmatched-ahead';

/** An undelivered event in `DeliveryQueue.owed`. */
export interface OwedDelivery {
  readonly auditId: string;
  readonly recordedMs: number;
}

export interface DeliveryQueue {
  /**
   * Leases up to `limit` deliveries of one authority until `leaseUntilMs`, oldest first: those due at `nowMs` and those
   * whose lease has expired. A lease also counts as expired if it ends later than a new one would, by more than the length
   * of a lease, because a clock that was ahead made it.
   */
  claim(authority: string, limit: number, nowMs: number, leaseUntilMs: number): Promise<readonly ClaimedDelivery[]>;
  /** Durable when it resolves. Returns false if the settlement was stale and changed nothing. */
  settle(claimed: ClaimedDelivery, settlement: Settlement): Promise<boolean>;
  /** Moves the end of a lease. Returns false if the lease is no longer held. */
  extend(claimed: ClaimedDelivery, leaseUntilMs: number): Promise<boolean>;
  /** Returns one row for each authority that has ever had a delivery. */
  backlog(): Promise<readonly DeliveryBacklog[]>;
  /**
   * Makes up to `limit` deliveries of an authority due at `nowMs`, oldest first, leaving leased ones alone. Returns the
   * count: fewer than `limit` means that none is left. Bounded, so that other writes are not held up. Unmatched ones
   * become due as when they were new.
   */
  requeue(authority: string, nowMs: number, of: RequeueOf, limit: number): Promise<number>;
  /**
   * Ends what `from` is owed of these events, leased and unmatched ones included, and makes it due to `to` at `nowMs` as if
   * new. If `to` has, or had, a delivery of an event itself, or is undefined, only `from`'s ends. Delivered ones stay.
   * Returns the ids of those that `to` is owed now, and was not before.
   */
  handOver(
    from: string,
    to: string | undefined,
    auditIds: readonly string[],
    nowMs: number,
  ): Promise<readonly string[]>;
  /** Durable when it resolves. Returns false if the breach is already known; it then stays as it was. */
  recordBreach(breach: DeliveryBreach): Promise<boolean>;
  /** Returns the latest `limit` breaches, newest first, of one authority if given. */
  breaches(limit: number, authority?: string): Promise<readonly DeliveryBreach[]>;
  /**
   * Returns undelivered events of an authority, leased ones included, by `recordedMs` and then in a fixed order, starting
   * after `after`. That event may have been delivered since. With an empty id, `after` stands before all events of its
   * millisecond. Leases nothing.
   */
  owed(authority: string, limit: number, after?: OwedDelivery): Promise<readonly OwedDelivery[]>;
  /**
   * Present only if several servers can share the store. Calls `wake` with each authority that may have something to claim,
   * whichever server committed it or let its lease expire. Spurious calls are possible. Returns the function that stops it.
   */
  watch?(wake: (authority: string) => void): () => Promise<void>;
}
