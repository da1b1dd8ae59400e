/** The contents of a whole store as data, to copy from one kind of store to another. */
import type { IndexValue } from '../fhir/search/ast.ts';
import type { DeliveryBreach } from './delivery-queue.ts';
import type { WriteMethod } from './write-method.ts';

export interface CopiedVersion {
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly method: WriteMethod;
  /** The labels it was written with. */
  readonly labels: readonly string[];
  /** The JSON text; null: this version is the deletion. */
  readonly body: string | null;
}

/** A resource with all its versions, deleted or not. */
export interface CopiedResource {
  readonly type: string;
  readonly id: string;
  readonly revision: number;
  /** The current labels. */
  readonly labels: readonly string[];
  /** Oldest first; the last is the current version. */
  readonly versions: readonly CopiedVersion[];
  /** Values of the current version. */
  readonly index: readonly IndexValue[];
  readonly uniqueKeys: readonly string[];
}

/** A delivery while nobody holds a lease. Times are epoch milliseconds. */
export interface CopiedDelivery {
  readonly authority: string;
  readonly state: 'ready' | 'waiting' | 'unmatched' | 'delivered';
  readonly dueMs: number;
  /** `waiting`: the end of the wait. `unmatched`: when it was marked. */
  readonly waitUntilMs: number;
  readonly attempts: number;
  readonly acknowledgedBy: readonly string[];
  readonly parked: boolean;
  readonly reason: string | null;
  readonly deliveredMs: number | null;
}

export interface CopiedAudit {
  readonly id: string;
  readonly recordedMs: number;
  /** Grows with each event, so it orders events of one millisecond. */
  readonly seq: number;
  /** The whole JSON text. */
  readonly body: string;
  readonly type: string;
  readonly subtype: string;
  readonly action: string;
  readonly outcome: string;
  /** Literal references as `Type/id`. */
  readonly patients: readonly string[];
  readonly agents: readonly string[];
  readonly entities: readonly string[];
  readonly labels: readonly string[];
  readonly deliveries: readonly CopiedDelivery[];
}

/** The records of a store, by kind. */
export interface CopyRecords {
  readonly resource: CopiedResource;
  readonly audit: CopiedAudit;
  readonly usedOnce: { readonly key: string; readonly expiresAtMs: number };
  readonly deliveryCount: { readonly authority: string; readonly delivered: number; readonly unmatched: number };
  readonly breach: DeliveryBreach;
  readonly subscriptionEvent: { readonly subscription: string; readonly number: number; readonly auditId: string };
  readonly acknowledged: { readonly subscription: string; readonly number: number };
}

export type CopyKind = keyof CopyRecords;

export const copyKinds = [
  'resource',
  'audit',
  'usedOnce',
  'deliveryCount',
  'breach',
  'subscriptionEvent',
  'acknowledged',
] as const satisfies readonly CopyKind[];

/** The position of a record. Reading continues after it. */
export type CopyPosition = readonly (string | number)[];

export interface Copied<K extends CopyKind> {
  readonly record: CopyRecords[K];
  readonly position: CopyPosition;
}

/** A store to copy. Nothing else writes to it meanwhile. */
export interface CopySource {
  /** Changes when the store changes. */
  readonly fingerprint: string;
  count(kind: CopyKind): number;
  /** Returns the number of records after a position. */
  countBehind(kind: CopyKind, position: CopyPosition): number;
  /** Reads records in a fixed order, starting after `after` if given. */
  read<K extends CopyKind>(kind: K, after?: CopyPosition): Iterable<Copied<K>>;
  /** Unlocks the store. */
  close(): void;
}

/** The number of records, and a hash that does not depend on their order. */
export interface CopyDigest {
  readonly count: number;
  readonly hash: string;
}

/** A store being filled with the records of another. No server uses it until it is complete. */
export interface CopyTarget {
  /** Returns how far an earlier run got. */
  positionOf(kind: CopyKind): CopyPosition | undefined;
  /** Writes the records that are missing, durably, and records that everything up to `position` is written. */
  write<K extends CopyKind>(kind: K, records: readonly CopyRecords[K][], position: CopyPosition): Promise<void>;
  /** Returns the digest that the target should have for these records. */
  expected<K extends CopyKind>(kind: K, records: Iterable<Copied<K>>): CopyDigest;
  /** Returns the digest of what the target holds. */
  held(kind: CopyKind): Promise<CopyDigest>;
  /** Marks the store complete, so that a server may use it. */
  complete(): Promise<void>;
  close(): Promise<void>;
}
