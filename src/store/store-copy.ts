/** A whole store as data: what one kind of store hands over to another. */
import type { IndexValue } from '../fhir/search/ast.ts';
import type { DeliveryBreach } from './delivery-queue.ts';
import type { WriteMethod } from './write-method.ts';

export interface CopiedVersion {
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly method: WriteMethod;
  /** As it was written with. */
  readonly labels: readonly string[];
  /** The JSON text; null: this version is the deletion. */
  readonly body: string | null;
}

/** A resource with all its versions, deleted or not. */
export interface CopiedResource {
  readonly type: string;
  readonly id: string;
  readonly revision: number;
  /** Of now. */
  readonly labels: readonly string[];
  /** Oldest first; the last one is the current one. */
  readonly versions: readonly CopiedVersion[];
  /** Of the current version. */
  readonly index: readonly IndexValue[];
  readonly uniqueKeys: readonly string[];
}

/** A delivery as it stands while nobody holds a lease. Times are epoch milliseconds. */
export interface CopiedDelivery {
  readonly authority: string;
  readonly state: 'ready' | 'waiting' | 'unmatched' | 'delivered';
  readonly dueMs: number;
  /** `waiting`: until when. `unmatched`: since when. */
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
  /** Grows with each event: the order of those of one millisecond. */
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

/** What a store holds, by kind. */
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

/** Where reading goes on: behind the record that has it. */
export type CopyPosition = readonly (string | number)[];

export interface Copied<K extends CopyKind> {
  readonly record: CopyRecords[K];
  readonly position: CopyPosition;
}

/** A store that nobody writes to while it is copied. */
export interface CopySource {
  /** Other when the store has changed since. */
  readonly fingerprint: string;
  count(kind: CopyKind): number;
  /** Of those behind a position. */
  countBehind(kind: CopyKind, position: CopyPosition): number;
  /** In one order, behind `after` when it is given. */
  read<K extends CopyKind>(kind: K, after?: CopyPosition): Iterable<Copied<K>>;
  /** Lets others use the store again. */
  close(): void;
}

/** How many records there are, and a hash of them in which their order does not count. */
export interface CopyDigest {
  readonly count: number;
  readonly hash: string;
}

/** A store that is filled with the records of another, and that no server uses until it is complete. */
export interface CopyTarget {
  /** How far an earlier try has come. */
  positionOf(kind: CopyKind): CopyPosition | undefined;
  /** Writes what is not there yet, durably, and notes that everything up to `position` is there. */
  write<K extends CopyKind>(kind: K, records: readonly CopyRecords[K][], position: CopyPosition): Promise<void>;
  /** Of what the target ought to hold for these records. */
  expected<K extends CopyKind>(kind: K, records: Iterable<Copied<K>>): CopyDigest;
  /** Of what it does hold. */
  held(kind: CopyKind): Promise<CopyDigest>;
  /** From now on a server may use it. */
  complete(): Promise<void>;
  close(): Promise<void>;
}
