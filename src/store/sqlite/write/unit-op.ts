/** A write unit as the writer thread takes it: arrays rather than objects, because they are cheaper to copy. */
import type { RevisionGuard } from '../../write-unit.ts';
import type { CompiledSql } from '../connection/compiled-sql.ts';

/** `kind, param, v1, v2` of index_value; see `indexKind`. */
export type IndexRow = readonly [kind: number, param: string, v1: string | number, v2: string | number];

export interface WriteRow {
  readonly type: string;
  readonly id: string;
  readonly version: number;
  readonly lastUpdatedMs: number;
  readonly body: string | null;
  readonly method: string;
  readonly labels: readonly string[];
  readonly index: readonly IndexRow[];
  readonly uniqueKeys: readonly string[];
  /** Selects the ids of the matches, at most two. */
  readonly ifNoneExist: CompiledSql | undefined;
}

export type UnitOp = readonly [
  kind: 'unit',
  writes: readonly WriteRow[],
  guards: readonly RevisionGuard[],
  /** As `renderAuditRow` returns them. */
  audits: readonly string[],
];
