/** History of resources as a store reads it. https://hl7.org/fhir/R4/http.html#history */
import type { KeysetPosition } from '../fhir/search/ast.ts';
import type { WriteMethod } from './write-method.ts';

/**
 * The versions of one type that history includes. The resource, deleted or not, must currently have one of the labels in
 * `now` or `former`. The version must have been written with one of the labels in `written`, or be the current one of a
 * resource with a label in `now`. A `RevisionGuard` changes the labels of a resource, but not those that its versions were
 * written with.
 */
export interface HistoryScope {
  readonly type: string;
  readonly now: readonly string[];
  readonly former?: readonly string[];
  readonly written: readonly string[];
}

export interface HistoryPlan {
  /** At most one for each type; with none the history is empty. AuditEvents have no history. */
  readonly scopes: readonly HistoryScope[];
  /** Versions of this resource only. There is one scope then. */
  readonly id?: string;
  /** Versions written at this time or later, epoch milliseconds. */
  readonly sinceMs?: number;
  /**
   * Versions that were current at some moment of this interval (`startMs` inclusive, `endMs` exclusive). They were written
   * before its end, and the next included version came after `startMs`. A deletion counts if it happened in the interval.
   */
  readonly at?: { readonly startMs: number; readonly endMs: number };
  /** Maximum number of entries; 0 with `total` only counts. */
  readonly limit: number;
  /** `next` of the previous page. */
  readonly after?: KeysetPosition;
  /** Whether to count the entries of all pages. */
  readonly total: boolean;
}

/** One version. */
export interface HistoryEntry {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly method: WriteMethod;
  /** The JSON text; null if this version is the deletion. */
  readonly body: string | null;
}

export interface HistoryResult {
  /**
   * For one resource, the highest version first. Otherwise the newest first by `lastUpdatedMs`, and the highest version
   * first among versions of one resource with equal times. A version written between two pages does not change the pages
   * that follow, unless its time is earlier than the start of the next page.
   */
  readonly entries: readonly HistoryEntry[];
  /** Pass as `after` to get the next page; undefined on the last page. */
  readonly next: KeysetPosition | undefined;
  /** Present if the plan asks for it. */
  readonly total: number | undefined;
}
