/** Compiles a history plan over all resources of a type. https://hl7.org/fhir/R4/http.html#history */
import type { Document } from 'mongodb';
import type { HistoryPlan, HistoryScope } from '../../history.ts';

export const newestFirst = { lastUpdatedMs: -1, _id: -1 } as const;

/** Returns the filter of the resources with a visible present label. */
export function compileOpened({ id }: HistoryPlan, scope: HistoryScope): Document {
  const ofId = id === undefined ? {} : { id: { $eq: id } };
  return { type: { $eq: scope.type }, labels: { $in: [...scope.now, ...(scope.former ?? [])] }, ...ofId };
}

/** Returns the filter of the resources whose current version belongs into the history. */
export function compileCurrent(plan: HistoryPlan, scope: HistoryScope): Document {
  const written = { versionLabels: { $in: [...scope.written] } };
  const ofFormer = scope.former === undefined ? {} : { $or: [{ labels: { $in: [...scope.now] } }, written] };
  const opened = { ...compileOpened(plan, scope), ...ofFormer };
  return plan.sinceMs === undefined ? opened : { ...opened, lastUpdatedMs: { $gte: plan.sinceMs } };
}

/** Returns the stages that produce every visible past version, as `marks`. */
export function compilePast(plan: HistoryPlan, scope: HistoryScope): Document[] {
  const since = plan.sinceMs === undefined ? {} : { 'marks.ms': { $gte: plan.sinceMs } };
  const visible = { 'marks.labels': { $in: [...scope.written] }, ...since };
  return [
    { $match: { ...compileOpened(plan, scope), ...visible } },
    { $project: { marks: 1 } },
    { $unwind: '$marks' },
    { $match: visible },
  ];
}

/** Returns further stages for one page: one version more than `limit`, in order. */
export function compilePastPage(plan: HistoryPlan): Document[] {
  return [
    ...compileKeyset(plan, 'marks.ms', 'marks.version').map((keyset) => ({ $match: keyset })),
    { $sort: { 'marks.ms': -1, _id: -1, 'marks.version': -1 } },
    { $limit: plan.limit + 1 },
  ];
}

/** Returns the condition on the position after `after`; none on the first page. */
export function compileKeyset({ after }: HistoryPlan, msField: string, versionField: string): Document[] {
  if (after === undefined) return [];
  const [ms = null, key = null, version = null] = after;
  return [
    {
      $or: [
        { [msField]: { $lt: ms } },
        { [msField]: { $eq: ms }, _id: { $lt: key } },
        { [msField]: { $eq: ms }, _id: { $eq: key }, [versionField]: { $lt: version } },
      ],
    },
  ];
}
