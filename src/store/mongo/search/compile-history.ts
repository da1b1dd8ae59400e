/** Compiles a history plan over all resources of a type. https://hl7.org/fhir/R4/http.html#history */
import type { Document } from 'mongodb';
import type { HistoryPlan, HistoryScope } from '../../history.ts';
import { resourceKey, versionKey } from '../encoding/documents.ts';

export const newestFirst = { lastUpdatedMs: -1, _id: -1 } as const;

/** Returns the filter of the resources with a visible present label. */
export function compileOpened({ id }: HistoryPlan, scope: HistoryScope): Document {
  const labels = { $in: [...scope.now, ...(scope.former ?? [])] };
  return id === undefined
    ? { type: { $eq: scope.type }, labels }
    : { _id: { $eq: resourceKey(scope.type, id) }, labels };
}

/** Returns the filter of the resources whose current version belongs into the history. */
export function compileCurrent(plan: HistoryPlan, scope: HistoryScope): Document {
  const written = { versionLabels: { $in: [...scope.written] } };
  const ofFormer = scope.former === undefined ? {} : { $or: [{ labels: { $in: [...scope.now] } }, written] };
  const opened = { ...compileOpened(plan, scope), ...ofFormer };
  return plan.sinceMs === undefined ? opened : { ...opened, lastUpdatedMs: { $gte: plan.sinceMs } };
}

/**
 * Returns the filter of the past versions that were written with a visible label, of one resource if the plan names one.
 * Whether their resource has a visible present label is not part of it.
 */
export function compilePast({ id, sinceMs, at }: HistoryPlan, scope: HistoryScope): Document {
  const key = id === undefined ? undefined : resourceKey(scope.type, id);
  const of = key === undefined ? {} : { _id: { $gte: versionKey(key, 0), $lt: versionKey(key, maxVersion) } };
  const times = {
    ...(sinceMs === undefined || at !== undefined ? {} : { $gte: sinceMs }),
    ...(at === undefined ? {} : { $lt: at.endMs }),
  };
  return {
    type: { $eq: scope.type },
    labels: { $in: [...scope.written] },
    ...of,
    ...(Object.keys(times).length === 0 ? {} : { lastUpdatedMs: times }),
  };
}

const maxVersion = 9_999_999_999;

/** Returns the condition on past versions of one resource after a page. */
export function compilePastKeyset({ after }: HistoryPlan, key: string): Document[] {
  return after === undefined ? [] : [{ _id: { $lt: versionKey(key, Number(after[0])) } }];
}

/** A position in the history of a type. */
export interface HistoryPosition {
  /** The `_id` of the resource. */
  readonly key: string;
  readonly version: number;
  readonly ms: number;
}

/** Returns the position after which the page of the plan starts; undefined on the first page. */
export function positionOf({ after }: HistoryPlan): HistoryPosition | undefined {
  return after && { ms: Number(after[0]), key: String(after[1]), version: Number(after[2]) };
}

/** Returns the condition on current versions, or on past ones, after a position. */
export function compileKeyset({ ms, key, version }: HistoryPosition, of: 'current' | 'past'): Document {
  const same = { lastUpdatedMs: { $eq: ms } };
  const later =
    of === 'past'
      ? [{ ...same, _id: { $lt: versionKey(key, version) } }]
      : [
          { ...same, _id: { $lt: key } },
          { ...same, _id: { $eq: key }, version: { $lt: version } },
        ];
  // The first bound lets the index start at the position.
  return { lastUpdatedMs: { $lte: ms }, $or: [{ lastUpdatedMs: { $lt: ms } }, ...later] };
}
