/** What a store commits: resources, revision guards and AuditEvents, all or nothing. */
import type { IndexValue, SearchPlan } from '../fhir/search/ast.ts';
import type { AuditWrite } from './audit-write.ts';
import type { WriteMethod } from './write-method.ts';

/**
 * One new version. The current version of (type, id) must be `version - 1` (0: it never existed), else the unit is refused
 * with `version-conflict`. If-Match and read-modify-write rely on this check.
 */
export interface ResourceWrite {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  /** The JSON text, or null for a deletion. The tombstone keeps `labels` and loses its index values. */
  readonly body: string | null;
  readonly method: WriteMethod;
  readonly labels: readonly string[];
  readonly index: readonly IndexValue[];
  /**
   * Keys that only this resource may hold, across all types. If another resource holds one, the unit is refused. A resource
   * keeps its keys for good: later versions without them, and its deletion, do not give them up.
   */
  readonly uniqueKeys: readonly string[];
  /** If-None-Exist: the unit is refused with `exists` (one match) or `multiple-matches` if a current resource matches. */
  readonly ifNoneExist?: SearchPlan;
}

/**
 * Guards a decision that was made on what was read. The unit is refused with `version-conflict` if the resource's revision
 * is no longer `expectRevision` (0: it must not exist). Otherwise the revision grows by one and `labels`, where given,
 * replace those of the resource; there is no new version. If the unit also writes the resource, the labels of the write
 * apply and the revision grows once.
 */
export interface RevisionGuard {
  readonly type: string;
  readonly id: string;
  readonly expectRevision: number;
  readonly labels?: readonly string[];
}

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
      /** The id of the refused write. */
      readonly id: string;
      /** The id of the resource that already exists. */
      readonly existingId: string;
    };
