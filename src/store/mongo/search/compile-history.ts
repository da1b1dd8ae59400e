/** Compiles a history plan over all resources of a type. https://hl7.org/fhir/R4/http.html#history */
import type { Document } from 'mongodb';
import type { HistoryPlan, HistoryScope } from '../../history.ts';

export const newestFirst = { lastUpdatedMs: -1, _id: -1 } as const;

/** The resources that bear a label of now. Their current versions are told, whatever these were written with. */
export function compileOpened({ id }: HistoryPlan, scope: HistoryScope): Document {
  const ofId = id === undefined ? {} : { id: { $eq: id } };
  return { type: { $eq: scope.type }, labels: { $in: [...scope.now] }, ...ofId };
}

/** The filter of those of the page whose current version is told. */
export function compileCurrent(plan: HistoryPlan, scope: HistoryScope): Document {
  const opened = compileOpened(plan, scope);
  return plan.sinceMs === undefined ? opened : { ...opened, lastUpdatedMs: { $gte: plan.sinceMs } };
}

/** Stages that give every past version that is told, as `marks`. */
export function compilePast(plan: HistoryPlan, scope: HistoryScope): Document[] {
  const since = plan.sinceMs === undefined ? {} : { 'marks.ms': { $gte: plan.sinceMs } };
  const told = { 'marks.labels': { $in: [...scope.written] }, ...since };
  return [
    { $match: { ...compileOpened(plan, scope), ...told } },
    { $project: { marks: 1 } },
    { $unwind: '$marks' },
    { $match: told },
  ];
}

/** What is added to them for one page: one version more than `limit`, in order. */
export function compilePastPage(plan: HistoryPlan): Document[] {
  return [
    ...compileKeyset(plan, 'marks.ms', 'marks.version').map((keyset) => ({ $match: keyset })),
    { $sort: { 'marks.ms': -1, _id: -1, 'marks.version': -1 } },
    { $limit: plan.limit + 1 },
  ];
}

/** None on the first page. */
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
