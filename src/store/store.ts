/**
 * The store port. Writes are data: a `WriteUnit` is applied whole or not at all, and is durable (fsync, or majority and
 * journal) when `commit` resolves. There is no transaction callback. Every adapter passes the contract suite in
 * test/contract. Code outside this folder imports the port from this file.
 */
import type { KeysetPosition, SearchPlan } from '../fhir/search/ast.ts';
import type { DeliveryQueue } from './delivery-queue.ts';
import type { HistoryPlan, HistoryResult } from './history.ts';
import type { SubscriptionEvents } from './subscription-events.ts';
import type { CommitResult, WriteUnit } from './write-unit.ts';

export type * from './audit-write.ts';
export type * from './delivery-queue.ts';
export type * from './subscription-events.ts';
export type * from './write-unit.ts';

/** A stored version of a resource. */
export interface StoredResource {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  /** Epoch milliseconds; equals `meta.lastUpdated` in the body. */
  readonly lastUpdatedMs: number;
  /** The canonical JSON text, including `meta`. */
  readonly body: string;
  /** Access labels: opaque to the store, searchable by the `label` clause. */
  readonly labels: readonly string[];
  /** Grows by one with each write and each `RevisionGuard` of the resource. Always 0 on an older version. */
  readonly revision: number;
}

/** The result of a read. `deleted` carries the version of the tombstone. */
export type ReadResult =
  | { readonly kind: 'found'; readonly resource: StoredResource }
  | {
      readonly kind: 'deleted';
      readonly version: number;
      readonly revision: number;
      readonly labels: readonly string[];
    }
  | { readonly kind: 'absent' };

export interface SearchResult {
  readonly matches: readonly StoredResource[];
  /** Pass as `after` to get the next page; undefined on the last page. */
  readonly next: KeysetPosition | undefined;
  /** Present if the plan asks for it. */
  readonly total: number | undefined;
}

/** Methods throw FhirFault `transient` if the store cannot serve at present: nothing may then be disclosed. */
export interface Store {
  /** Applies the unit, all or nothing. Durable when it resolves. A refused unit changes nothing. */
  commit(unit: WriteUnit): Promise<CommitResult>;
  read(type: string, id: string): Promise<ReadResult>;
  /** Returns `deleted` for the version that is the deletion, and `absent` for one that never existed. */
  readVersion(type: string, id: string, version: number): Promise<ReadResult>;
  /** Searches one type. AuditEvent has its own parameters, sorts by `date` or `_lastUpdated`, and defaults to newest first. */
  search(plan: SearchPlan): Promise<SearchResult>;
  history(plan: HistoryPlan): Promise<HistoryResult>;
  /**
   * Returns each label with this prefix that a resource of the type has, deleted ones left out. Reads an index, at a cost
   * that grows with the number of labels, not of resources.
   */
  listLabels(type: string, prefix: string): Promise<readonly string[]>;
  /** Records a single-use key durably. Returns false if it was used before. It may be forgotten after `expiresAtMs`. */
  useOnce(key: string, expiresAtMs: number, nowMs: number): Promise<boolean>;
  readonly deliveries: DeliveryQueue;
  readonly subscriptionEvents: SubscriptionEvents;
  /**
   * Present only if several servers can share the store; for a type with few resources. From when it resolves, calls
   * `changed` with the labels of each resource of the type that any server writes, deletes or guards. Spurious calls are
   * possible. A resource that is created and deleted within seconds may be left out.
   * Resolves to the function that stops it.
   */
  watchResources?(type: string, changed: (labels: readonly string[]) => void): Promise<() => Promise<void>>;
  /** Whether commits can succeed. False after an I/O error, until the process ends. */
  readonly ready: boolean;
  close(): Promise<void>;
}
