/**
 * Compiles a history plan to stages, one list for each scope: the resources that bear its labels now, their versions that
 * are told, those of the page. https://hl7.org/fhir/R4/http.html#history
 */
import type { Document } from 'mongodb';
import type { HistoryPlan, HistoryScope } from '../history.ts';

/** Stages that give `_id`, `version` and `ms` of every entry of the scope. */
export function compileHistory({ id, sinceMs, at }: HistoryPlan, scope: HistoryScope): Document[] {
  const ofId = id === undefined ? {} : { id: { $eq: id } };
  const isTold = { $or: [{ isLast: { $eq: true } }, { labels: { $in: [...scope.written] } }] };
  const since = sinceMs === undefined ? [] : [{ $match: { ms: { $gte: sinceMs } } }];
  return [
    { $match: { type: { $eq: scope.type }, labels: { $in: [...scope.now] }, ...ofId } },
    { $project: { marks: 1, last: '$version' } },
    { $unwind: '$marks' },
    {
      $project: {
        version: '$marks.version',
        ms: '$marks.ms',
        deleted: '$marks.deleted',
        labels: '$marks.labels',
        isLast: { $eq: ['$marks.version', '$last'] },
      },
    },
    { $match: isTold },
    ...(at === undefined ? [] : compileAt(at)),
    ...since,
    { $project: { version: 1, ms: 1 } },
  ];
}

/** Of what was there at the start of the interval only the last version; and what was written within it. */
function compileAt({ startMs, endMs }: NonNullable<HistoryPlan['at']>): Document[] {
  const atStart = { $cond: [{ $lte: ['$ms', startMs] }, '$version', 0] };
  return [
    {
      $group: {
        _id: '$_id',
        entry: { $push: { version: '$version', ms: '$ms', deleted: '$deleted' } },
        first: { $max: atStart },
      },
    },
    { $unwind: '$entry' },
    {
      $project: {
        version: '$entry.version',
        ms: '$entry.ms',
        deleted: '$entry.deleted',
        isThere: { $gte: ['$entry.version', '$first'] },
      },
    },
    {
      $match: {
        isThere: { $eq: true },
        ms: { $lt: endMs },
        $or: [{ deleted: { $eq: false } }, { ms: { $gte: startMs } }],
      },
    },
  ];
}

/** What is added to them for one page: one entry more than `limit`, in order. */
export function compileHistoryPage(plan: HistoryPlan): Document[] {
  const order = plan.id === undefined ? { ms: -1, _id: -1, version: -1 } : { version: -1 };
  const keyset = plan.after === undefined ? [] : [{ $match: compileKeyset(plan, plan.after) }];
  return [...keyset, { $sort: order }, { $limit: plan.limit + 1 }];
}

function compileKeyset({ id }: HistoryPlan, after: NonNullable<HistoryPlan['after']>): Document {
  const [first = null, key = null, version = null] = after;
  if (id !== undefined) return { version: { $lt: first } };
  return {
    $or: [
      { ms: { $lt: first } },
      { ms: { $eq: first }, _id: { $lt: key } },
      { ms: { $eq: first }, _id: { $eq: key }, version: { $lt: version } },
    ],
  };
}
