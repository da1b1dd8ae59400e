/**
 * The store port. Writes are data: a `WriteUnit` is applied whole or not at all and is durable (fsync, or majority and
 * journal) when `commit` resolves. No transaction callback is ever handed out. Every adapter passes the one contract
 * suite in test/contract.
 */
import type { IndexValue, KeysetPosition, SearchPlan } from '../fhir/search/ast.ts';
import type { HistoryPlan, HistoryResult } from './history.ts';

/** A stored version of a resource. `body` is the canonical JSON text, meta included. */
export interface StoredResource {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** Epoch milliseconds; equals `meta.lastUpdated` in the body. */
  readonly lastUpdatedMs: number;
  readonly body: string;
  /** Access labels: opaque to the store, searchable by the `label` clause. */
  readonly labels: readonly string[];
  /** Grows by one with each write and each `RevisionGuard` of the resource. Always 0 on an older version. */
  readonly revision: number;
}

/** Absence is a value. `deleted` carries the version of the tombstone. */
export type ReadResult =
  | { readonly kind: 'found'; readonly resource: StoredResource }
  | {
      readonly kind: 'deleted';
      readonly version: number;
      readonly revision: number;
      readonly labels: readonly string[];
    }
  | { readonly kind: 'absent' };

/**
 * One new version. The store's current version of (type, id) must be `version - 1` (0: never existed), else the unit is
 * refused with `version-conflict`: that is how If-Match and read-modify-write are kept.
 */
export interface ResourceWrite {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  /** The JSON text, or null for a deletion (the tombstone keeps `labels`; its index values and unique keys go). */
  readonly body: string | null;
  /** What made this version, for history entries. */
  readonly method: 'POST' | 'PUT' | 'DELETE';
  readonly labels: readonly string[];
  readonly index: readonly IndexValue[];
  /** Keys held by this resource alone, over all types; another holder refuses the unit with `duplicate-key`. */
  readonly uniqueKeys: readonly string[];
  /** If-None-Exist: refused with `exists` (one match) or `multiple-matches` if anything current matches at commit. */
  readonly ifNoneExist?: SearchPlan;
}

/**
 * Guards a decision that was made on what was read: refused with `version-conflict` when the resource's revision is not
 * `expectRevision` any more (0: it must not exist). Otherwise its revision grows by one and, where given, its labels are
 * replaced, without a new version. A resource that is also written in the unit is not touched again: it takes
 * `expectRevision` from here and its labels from the write.
 */
export interface RevisionGuard {
  readonly type: string;
  readonly id: string;
  readonly expectRevision: number;
  readonly labels?: readonly string[];
}

/** A long text that many AuditEvents have in common: a store may keep it once. The same object is given for each of them. */
export interface SharedText {
  readonly text: string;
}

/** An AuditEvent with what is needed to find it again, and who must be told. Append-only: nothing changes it afterwards. */
export interface AuditWrite {
  readonly id: string;
  readonly recordedMs: number;
  readonly body: string;
  /** The same text in pieces, in order, where some of them are the same in many AuditEvents. */
  readonly pieces?: readonly (string | SharedText)[];
  /** Literal references as `Type/id`, for the search parameters `patient`, `agent` and `entity`. */
  readonly patients: readonly string[];
  readonly agents: readonly string[];
  readonly entities: readonly string[];
  /** Codes; their systems are fixed, see `auditTokenSystems`. */
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  /** Access labels, as on resources: which authorities may see it, and whether it belongs to the access history. */
  readonly labels: readonly string[];
  /** Ids of the local authorities that must be notified: one delivery each, in the same atomic write. */
  readonly deliverTo: readonly string[];
}

/** The systems of the token parameters of an AuditEvent; a token clause that names another system matches nothing. */
export const auditTokenSystems = {
  type: 'http://terminology.hl7.org/CodeSystem/audit-event-type',
  subtype: 'http://hl7.org/fhir/restful-interaction',
  action: 'http://hl7.org/fhir/audit-event-action',
  outcome: 'http://hl7.org/fhir/audit-event-outcome',
} as const;

export interface WriteUnit {
  readonly writes: readonly ResourceWrite[];
  readonly guards: readonly RevisionGuard[];
  readonly audits: readonly AuditWrite[];
}

export type CommitResult =
  | { readonly kind: 'committed' }
  | {
      readonly kind: 'refused';
      readonly reason: 'version-conflict' | 'multiple-matches';
      readonly type: string;
      readonly id: string;
    }
  | {
      readonly kind: 'refused';
      readonly reason: 'exists' | 'duplicate-key';
      readonly type: string;
      /** The id of the write that was refused. */
      readonly id: string;
      /** The id of the resource that is there already. */
      readonly existingId: string;
    };

export interface SearchResult {
  readonly matches: readonly StoredResource[];
  /** Position to pass as `after` for the next page; undefined when there is none. */
  readonly next: KeysetPosition | undefined;
  /** Present when the plan asked for it. */
  readonly total: number | undefined;
}

/** A delivery that this process holds the lease of. */
export interface ClaimedDelivery {
  /** The AuditEvent's id; with `authority` it identifies the delivery, and it is the notification's idempotency key. */
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

/** What became of an attempt. Only `delivered` ends a delivery. */
export type Settlement =
  /** A 2xx from each Subscription that wanted it. Monotone: recorded even if the lease has been lost. */
  | { readonly kind: 'delivered'; readonly acknowledgedBy: readonly string[]; readonly atMs: number }
  /** Fenced by the lease token: a stale failure changes nothing. `attempts` grows by one unless `spendAttempt` is false. */
  | {
      readonly kind: 'failed';
      readonly dueMs: number;
      /** A short class such as `timeout`, `status-503`, `refused-address`; never a value from the wire. */
      readonly reason: string;
      readonly acknowledgedBy: readonly string[];
      readonly spendAttempt: boolean;
      /** True: set apart as one that fails again and again while others are delivered. It stays so, and is still tried. */
      readonly park?: boolean;
    }
  /** No Subscription asks for it. Set apart at `atMs`, neither owed nor claimed until `requeue` brings it back; fenced. */
  | { readonly kind: 'unmatched'; readonly atMs: number }
  /** Gives the lease back unused, due as before; fenced. */
  | { readonly kind: 'released' };

export interface DeliveryBacklog {
  readonly authority: string;
  /** Not yet delivered, leased and parked ones included, unmatched ones not. */
  readonly undelivered: number;
  readonly leased: number;
  /** Of the undelivered. */
  readonly parked: number;
  readonly unmatched: number;
  /** `recordedMs` of the oldest undelivered that is not parked; undefined when there is none. */
  readonly oldestRecordedMs: number | undefined;
  /** The same of the parked ones. */
  readonly oldestParkedMs: number | undefined;
  /** When the next one can be claimed (lease expiry counts), epoch ms; undefined when there is none. */
  readonly nextDueMs: number | undefined;
  readonly delivered: number;
}

/** A promise that was not kept: something was undelivered for longer than it may be. Kept for ever. */
export interface DeliveryBreach {
  readonly authority: string;
  /** `parked`: the endpoint refused one event; `overdue`: anything else. */
  readonly kind: 'overdue' | 'parked';
  /** `recordedMs` of the oldest that was undelivered; with `authority` and `kind` it identifies the breach. */
  readonly oldestRecordedMs: number;
  readonly atMs: number;
  /** How many were undelivered then. */
  readonly undelivered: number;
}

/**
 * What `requeue` brings back. `waiting`: all that backs off or was recorded by a clock that is ahead, parked ones included;
 * attempts are kept. `parked`: parked ones only; they are not parked any more and have no attempts. `unmatched`: those set
 * apart before the time that is given, the longest ago first, so that what is set apart again does not come back in turn.
 * `unmatched-ahead`: those set apart after it, by a clock that has been set back since.
 */
export type RequeueOf = 'waiting' | 'parked' | 'unmatched' | 'unmatched-ahead';

export interface DeliveryQueue {
  /**
   * Leases up to `limit` deliveries of one authority that are due at `nowMs` (or whose lease has expired), oldest first,
   * until `leaseUntilMs`. A lease that ends later than one taken now, by more than its length again, was taken by a clock
   * that was ahead: it has expired as well.
   */
  claim(authority: string, limit: number, nowMs: number, leaseUntilMs: number): Promise<readonly ClaimedDelivery[]>;
  /** Durable when it resolves. False: the settlement was stale and changed nothing. */
  settle(claimed: ClaimedDelivery, settlement: Settlement): Promise<boolean>;
  /** Moves the end of a lease that is still held; false when it is not. */
  extend(claimed: ClaimedDelivery, leaseUntilMs: number): Promise<boolean>;
  /** One row for each authority that was ever owed a delivery. */
  backlog(): Promise<readonly DeliveryBacklog[]>;
  /**
   * Makes up to `limit` deliveries of an authority due at `nowMs`, the oldest of them first, leased ones left alone. How
   * many it were: fewer than `limit` means that none is left. Bounded, so that other writes go on in between.
   * What was unmatched becomes due as when it was new.
   */
  requeue(authority: string, nowMs: number, of: RequeueOf, limit: number): Promise<number>;
  /** Durable when it resolves. False: it is known already, and stays as it was. */
  recordBreach(breach: DeliveryBreach): Promise<boolean>;
  /** The latest `limit` breaches, newest first; of one authority when it is given. */
  breaches(limit: number, authority?: string): Promise<readonly DeliveryBreach[]>;
  /**
   * The undelivered ones of an authority, leased ones included, by `recordedMs` and then in an order that does not change;
   * those behind `after` when it is given, which may have been delivered since; with an empty id, those of its
   * millisecond and later. Leases nothing.
   */
  owed(authority: string, limit: number, after?: OwedDelivery): Promise<readonly OwedDelivery[]>;
  /**
   * Only of a store that several servers share: calls `wake` with each authority that may have something to claim, whoever
   * committed it or let its lease run out, until the returned function is called. It may call once too often.
   */
  watch?(wake: (authority: string) => void): () => Promise<void>;
}

export interface OwedDelivery {
  readonly auditId: string;
  readonly recordedMs: number;
}

/** An AuditEvent as an event of a Subscription. */
export interface SubscriptionEvent {
  readonly number: number;
  readonly auditId: string;
}

/** The events of each Subscription: numbered 1, 2, 3 ... without a gap, and never numbered anew. */
export interface SubscriptionEvents {
  /**
   * Gives each AuditEvent the next number of the Subscription, in the order of `auditIds`; one that has a number keeps
   * it. The numbers, in the same order. Durable when it resolves; two callers at one time never share a number.
   */
  append(subscriptionId: string, auditIds: readonly string[]): Promise<readonly number[]>;
  /** The last number that was given; 0: none. */
  last(subscriptionId: string): Promise<number>;
  /** Those numbered from `since` to `until`, both included, in order, `limit` at most. */
  range(subscriptionId: string, since: number, until: number, limit: number): Promise<readonly SubscriptionEvent[]>;
  /** Records durably that the subscriber has acknowledged everything up to this number; a lower one changes nothing. */
  acknowledge(subscriptionId: string, through: number): Promise<void>;
  /** The highest number that was acknowledged that way; 0: none. */
  acknowledged(subscriptionId: string): Promise<number>;
}

export interface Store {
  /**
   * Applies the unit, all or nothing. Resolves only when it is durable. A refused unit changed nothing.
   * Throws FhirFault `transient` when the store cannot take it now (full, busy, lost): then nothing may be disclosed.
   */
  commit(unit: WriteUnit): Promise<CommitResult>;
  read(type: string, id: string): Promise<ReadResult>;
  /** A deleted version answers `deleted`; a version that never was, `absent`. */
  readVersion(type: string, id: string, version: number): Promise<ReadResult>;
  /** `type` AuditEvent is searched by its own parameters; its default order is newest first. */
  search(plan: SearchPlan): Promise<SearchResult>;
  history(plan: HistoryPlan): Promise<HistoryResult>;
  /** Records a single-use key durably. False: it was used before. The key may be forgotten after `expiresAtMs`. */
  useOnce(key: string, expiresAtMs: number, nowMs: number): Promise<boolean>;
  readonly deliveries: DeliveryQueue;
  readonly subscriptionEvents: SubscriptionEvents;
  /**
   * Only of a store that several servers share, for a type that has few resources: calls `changed` with the labels of each
   * one that is written or touched after it has resolved, whoever does it, until the function that it resolves with is
   * called. It may call once too often.
   */
  watchResources?(type: string, changed: (labels: readonly string[]) => void): Promise<() => Promise<void>>;
  /** Whether commits can succeed; false after an I/O error, until the process ends. */
  readonly ready: boolean;
  close(): Promise<void>;
}
