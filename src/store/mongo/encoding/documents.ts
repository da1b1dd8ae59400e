/** The collections and their documents. */
import type { Collection, Db } from 'mongodb';
import type { ResourceWrite } from '../../store.ts';

/** The interval of one date. */
export interface DateEntry {
  readonly startMs: number;
  readonly endMs: number;
}

/** The sort key of a resource for one parameter: its least and its greatest value. */
export interface OrderEntry {
  /** Sorts resources with a value before those without one, in both directions. */
  readonly has: 1;
  readonly low: string | number;
  readonly high: string | number;
}

/** A version that is no longer the current one. */
export interface PastVersion {
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly method: ResourceWrite['method'];
  /** The labels of the write; a revision guard does not change them. */
  readonly labels: readonly string[];
  readonly body: string | null;
}

/**
 * The current version of a resource. With `version` 0 and no `type` it is a placeholder: a unit depends on the absence of
 * the resource, and conflicts with a unit that creates it because both write this document.
 */
export interface ResourceDocument {
  /** `type/id` */
  readonly _id: string;
  readonly type?: string;
  readonly id?: string;
  readonly version: number;
  readonly revision: number;
  readonly lastUpdatedMs?: number;
  readonly method?: ResourceWrite['method'];
  readonly deleted?: boolean;
  /** null if the resource is deleted. */
  readonly body?: string | null;
  /** The present labels. */
  readonly labels?: readonly string[];
  /** The labels that the current version was written with. */
  readonly versionLabels?: readonly string[];
  /** Searchable values of the current version; see `keysOf`. */
  readonly keys?: readonly string[];
  /** Intervals by search parameter. */
  readonly dates?: Readonly<Record<string, readonly DateEntry[]>>;
  /** Sort keys by search parameter. */
  readonly order?: Readonly<Record<string, OrderEntry>>;
  /** Past versions, oldest first. Only an older server, which does not know their collection, writes them here. */
  readonly versions?: readonly PastVersion[];
  /** Number of units that depended on the absence of the resource. */
  readonly guards?: number;
}

/** A past version in its own collection. It is inserted when another version follows it, and never changes. */
export interface VersionDocument extends PastVersion {
  /** See `versionKey`. */
  readonly _id: string;
  readonly type: string;
  readonly id: string;
  readonly deleted: boolean;
}

/**
 * `unwanted` is the stored name of an unmatched delivery. `passed`: the authority that replaces this one has a delivery of
 * the event itself.
 */
export type DeliveryState = 'ready' | 'waiting' | 'leased' | 'unwanted' | 'delivered' | 'passed';

export interface DeliveryDocument {
  readonly authority: string;
  readonly state: DeliveryState;
  readonly dueMs: number;
  /** `waiting`: the end of the back-off. `leased`: the end of the lease. `unwanted`: when it was marked unmatched. */
  readonly waitUntilMs: number;
  /** The token of the current lease, or of the one it was delivered under. */
  readonly leaseToken: string | null;
  readonly attempts: number;
  readonly acknowledgedBy: readonly string[];
  readonly parked: boolean;
  readonly reason: string | null;
  readonly deliveredMs: number | null;
}

/** An AuditEvent with its deliveries. Only `deliveries`, `queue` and `undelivered` ever change. */
export interface AuditDocument {
  readonly _id: string;
  readonly recordedMs: number;
  /** Grows with time; orders AuditEvents of the same millisecond. */
  readonly seq: string;
  readonly body: string;
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  /** `id/type`, so that a search for any type is a range. */
  readonly patients: readonly string[];
  readonly agents: readonly string[];
  readonly entities: readonly string[];
  readonly labels: readonly string[];
  readonly deliveries: readonly DeliveryDocument[];
  /** Two search keys for each delivery, in the same order; see `delivery-place.ts`. */
  readonly queue: readonly string[];
  /** Number of deliveries that are neither `delivered` nor `passed`. The index of deliveries holds an AuditEvent only while it is not 0. */
  readonly undelivered: number;
}

/** The counted deliveries of an authority, whose id is `_id`. */
export interface DeliveryCountDocument {
  readonly _id: string;
  readonly delivered?: number;
  readonly unwanted?: number;
  /** Undelivered, neither parked nor unmatched. An estimate. */
  readonly owed?: number;
  /** An estimate. */
  readonly parked?: number;
  /** When `owed` and `parked` of a long backlog were last counted in the index, by the clock of the database. */
  readonly recountedMs?: number;
}

export interface Collections {
  readonly resource: Collection<ResourceDocument>;
  readonly version: Collection<VersionDocument>;
  readonly audit: Collection<AuditDocument>;
  /** Keys that at most one resource holds. `holder` is the `_id` of the resource. */
  readonly uniqueKey: Collection<{ readonly _id: string; readonly holder: string }>;
  /**
   * Conditional creates with the same condition write the same document, so that they conflict. It means nothing to a later
   * one, and is removed an hour after its last use.
   */
  readonly condition: Collection<{ readonly _id: string; readonly uses: number; readonly usedAt: Date }>;
  readonly usedOnce: Collection<{ readonly _id: string; readonly expiresAtMs: number; readonly use: string }>;
  readonly deliveryCount: Collection<DeliveryCountDocument>;
  readonly breach: Collection<{
    readonly _id: string;
    readonly authority: string;
    readonly kind: 'overdue' | 'parked';
    readonly oldestRecordedMs: number;
    readonly atMs: number;
    readonly undelivered: number;
  }>;
  readonly subscriptionEvent: Collection<{
    readonly _id: string;
    readonly subscription: string;
    readonly number: number;
    readonly auditId: string;
  }>;
  readonly subscriptionAcknowledged: Collection<{ readonly _id: string; readonly number: number }>;
  /** Holds one document if a store has been copied into this database, or is being copied. */
  readonly migration: Collection<{
    readonly _id: string;
    readonly fingerprint: string;
    readonly positions: Readonly<Record<string, readonly (string | number)[]>>;
    readonly completed: boolean;
    /** Added to times of the copying machine to get the database's. */
    readonly offsetMs: number;
  }>;
  /** `movedThrough`: the last resource whose past versions have been moved to `version`. */
  readonly schema: Collection<{ readonly _id: string; readonly version: number; readonly movedThrough?: string }>;
}

/** Names the collections of the database. */
export function openCollections(db: Db): Collections {
  return {
    resource: db.collection('resource'),
    version: db.collection('version'),
    audit: db.collection('audit'),
    uniqueKey: db.collection('unique_key'),
    condition: db.collection('condition'),
    usedOnce: db.collection('used_once'),
    deliveryCount: db.collection('delivery_count'),
    breach: db.collection('delivery_breach'),
    subscriptionEvent: db.collection('subscription_event'),
    subscriptionAcknowledged: db.collection('subscription_acknowledged'),
    migration: db.collection('migration'),
    schema: db.collection('schema'),
  };
}

/** Returns the `_id` of a resource, `type/id`. Neither part contains a slash. */
export function resourceKey(type: string, id: string): string {
  return `${type}/${id}`;
}

/**
 * Returns the `_id` of a version, `type/id!version`, for the `_id` of its resource. The versions of a resource are one range,
 * in order. The mark sorts before all characters of ids, so that versions are in the order of their resources.
 */
export function versionKey(key: string, version: number): string {
  return `${key}!${String(version).padStart(10, '0')}`;
}
