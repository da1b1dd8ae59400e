/** The numbered events of topic-based Subscriptions. */

/** An AuditEvent as an event of a Subscription. */
export interface SubscriptionEvent {
  readonly number: number;
  readonly auditId: string;
}

/** The events of each Subscription, numbered 1, 2, 3 ... without gaps. A number never changes. */
export interface SubscriptionEvents {
  /**
   * Assigns the next numbers of the Subscription to the AuditEvents, in the order given; one that has a number keeps it.
   * Returns the numbers in the same order. Durable when it resolves. Concurrent callers never share a number.
   */
  append(subscriptionId: string, auditIds: readonly string[]): Promise<readonly number[]>;
  /** Returns the last number assigned, or 0. */
  last(subscriptionId: string): Promise<number>;
  /** Returns up to `limit` events from `since` to `until`, both included, in order. */
  range(subscriptionId: string, since: number, until: number, limit: number): Promise<readonly SubscriptionEvent[]>;
  /** Records durably that the subscriber has acknowledged everything up to `through`. A lower number changes nothing. */
  acknowledge(subscriptionId: string, through: number): Promise<void>;
  /** Returns the highest acknowledged number, or 0. */
  acknowledged(subscriptionId: string): Promise<number>;
}
