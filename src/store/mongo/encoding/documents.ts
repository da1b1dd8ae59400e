/** What the collections hold. */
import type { Collection, Db } from 'mongodb';
import type { ResourceWrite } from '../../store.ts';

/** The interval of one date. */
export interface DateEntry {
  readonly startMs: number;
  readonly endMs: number;
}

/** What a resource is sorted by: the least and the greatest of the values of a parameter. */
export interface OrderEntry {
  /** Sorts those that have a value before those that have none, whichever the direction. */
  readonly has: 1;
  readonly low: string | number;
  readonly high: string | number;
}

/** A version that another has followed. */
export interface PastVersion {
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly method: ResourceWrite['method'];
  /** The labels of the write; a revision guard does not change them. */
  readonly labels: readonly string[];
  readonly body: string | null;
}

/**
 * A resource with all its versions. With `version` 0 and no `type` it is a guard: something was decided on its absence,
 * and whoever creates it has to write the same document.
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
  /** null: deleted. */
  readonly body?: string | null;
  /** Of now. */
  readonly labels?: readonly string[];
  /** As the current version was written with. */
  readonly versionLabels?: readonly string[];
  /** Searchable values of the current version; see `keysOf`. */
  readonly keys?: readonly string[];
  /** By parameter. */
  readonly dates?: Readonly<Record<string, readonly DateEntry[]>>;
  /** By parameter. */
  readonly order?: Readonly<Record<string, OrderEntry>>;
  /** Oldest first. */
  readonly versions?: readonly PastVersion[];
  /** Of `versions`, in their order. */
  readonly marks?: readonly VersionMark[];
  /** Bytes of the texts of all versions. */
  readonly bodyBytes?: number;
  readonly guards?: number;
}

/** What is told of a past version without its text. */
export interface VersionMark {
  readonly version: number;
  readonly ms: number;
  readonly deleted: boolean;
  /** As it was written with. */
  readonly labels: readonly string[];
}

export type DeliveryState = 'ready' | 'waiting' | 'leased' | 'unwanted' | 'delivered';

export interface DeliveryDocument {
  readonly authority: string;
  readonly state: DeliveryState;
  readonly dueMs: number;
  /** `waiting`: until when. `leased`: the end of the lease. `unwanted`: since when. */
  readonly waitUntilMs: number;
  /** Of the lease that is held, or of the one that it was delivered under. */
  readonly leaseToken: string | null;
  readonly attempts: number;
  readonly acknowledgedBy: readonly string[];
  readonly parked: boolean;
  readonly reason: string | null;
  readonly deliveredMs: number | null;
}

/** Nothing but `deliveries`, `queue` and `undelivered` ever changes. */
export interface AuditDocument {
  readonly _id: string;
  readonly recordedMs: number;
  /** Grows with time: the order of those of one millisecond. */
  readonly seq: string;
  readonly body: string;
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  /** `id/type`, so that any type is a range. */
  readonly patients: readonly string[];
  readonly agents: readonly string[];
  readonly entities: readonly string[];
  readonly labels: readonly string[];
  readonly deliveries: readonly DeliveryDocument[];
  /** By what they are found: two texts for each delivery, in their order; see `delivery-place.ts`. */
  readonly queue: readonly string[];
  /** How many deliveries are not `delivered`. The indexes of deliveries hold an AuditEvent only while there are some. */
  readonly undelivered: number;
}

export interface Collections {
  readonly resource: Collection<ResourceDocument>;
  readonly audit: Collection<AuditDocument>;
  /** Keys that one resource holds. `holder` is its `_id`. */
  readonly uniqueKey: Collection<{ readonly _id: string; readonly holder: string }>;
  /** Conditional creates with one condition write one document. */
  readonly condition: Collection<{ readonly _id: string; readonly uses: number }>;
  readonly usedOnce: Collection<{ readonly _id: string; readonly expiresAtMs: number; readonly use: string }>;
  readonly deliveryCount: Collection<{ readonly _id: string; readonly delivered: number; readonly unwanted: number }>;
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
  /** One document, while a store is copied into this database and after that. */
  readonly migration: Collection<{
    readonly _id: string;
    readonly fingerprint: string;
    readonly positions: Readonly<Record<string, readonly (string | number)[]>>;
    readonly completed: boolean;
    /** From the time of the machine that copies to the database's. */
    readonly offsetMs: number;
  }>;
  readonly schema: Collection<{ readonly _id: string; readonly version: number }>;
}

export function openCollections(db: Db): Collections {
  return {
    resource: db.collection('resource'),
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

/** `type/id`: neither holds a slash. */
export function resourceKey(type: string, id: string): string {
  return `${type}/${id}`;
}
