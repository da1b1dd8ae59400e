/** What a store is asked of the versions of resources, and what it tells. https://hl7.org/fhir/R4/http.html#history */
import type { KeysetPosition } from '../fhir/search/ast.ts';
import type { ResourceWrite } from './store.ts';

/**
 * Versions of one type that are told. The resource as it is now, deleted or not, bears one of the labels of `now`; and the
 * version is the current one, or bore one of those of `written` when it was written (a `RevisionGuard` changes the labels of the
 * resource only, not those that its version was written with).
 */
export interface HistoryScope {
  readonly type: string;
  readonly now: readonly string[];
  readonly written: readonly string[];
}

export interface HistoryPlan {
  /** At most one for each type; none tells nothing. AuditEvents have no history. */
  readonly scopes: readonly HistoryScope[];
  /** Versions of this resource only. There is one scope then. */
  readonly id?: string;
  /** Versions written at this time or later, epoch milliseconds. */
  readonly sinceMs?: number;
  /**
   * Versions that were current at some moment of this interval (`startMs` inclusive, `endMs` exclusive): written before its
   * end, and not followed by another version that is told until after `startMs`. A deletion counts when it happened within.
   */
  readonly at?: { readonly startMs: number; readonly endMs: number };
  /** How many entries at most; 0 with `total` counts only. */
  readonly limit: number;
  /** `next` of the page before. */
  readonly after?: KeysetPosition;
  /** Whether the number of all entries, over all pages, is wanted. */
  readonly total: boolean;
}

/** One version. */
export interface HistoryEntry {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly method: ResourceWrite['method'];
  /** The JSON text; null: this version is the deletion. */
  readonly body: string | null;
}

export interface HistoryResult {
  /**
   * Of one resource: the highest version first. Else the newest first by `lastUpdatedMs`, and versions of one resource with
   * equal times the highest first. A version written between two pages changes nothing of the pages that follow, unless
   * its time is earlier than where they begin.
   */
  readonly entries: readonly HistoryEntry[];
  /** Position to pass as `after` for the next page; undefined when there is none. */
  readonly next: KeysetPosition | undefined;
  /** Present when the plan asked for it. */
  readonly total: number | undefined;
}
