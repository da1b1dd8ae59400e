/**
 * Compiles a history plan to stages, one list for each scope: the resources that bear its labels now, their versions that
 * are told, those of the page. https://hl7.org/fhir/R4/http.html#history
 */
import type { Document } from 'mongodb';
import type { HistoryPlan, HistoryScope } from '../history.ts';

/** Stages that give `_id`, `version` and `ms` of every entry of the scope. */
export function compileHistory(plan: HistoryPlan, scope: HistoryScope): Document[] {
  const ofId = plan.id === undefined ? {} : { id: { $eq: plan.id } };
  const past = { $map: { input: '$versions', as: 'v', in: versionOf('$$v', '$$v.labels') } };
  const current = versionOf('$$ROOT', '$versionLabels');
  return [
    { $match: { type: { $eq: scope.type }, labels: { $in: [...scope.now] }, ...ofId } },
    { $project: { last: '$version', all: { $concatArrays: [past, [current]] } } },
    { $project: { told: { $filter: { input: '$all', as: 'v', cond: isTold(scope) } } } },
    { $project: { entry: { $filter: { input: '$told', as: 'v', cond: isWithin(plan) } } } },
    { $unwind: '$entry' },
    { $project: { version: '$entry.version', ms: '$entry.ms' } },
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

function versionOf(from: string, labels: string): Document {
  const field = (name: string): string => (from === '$$ROOT' ? `$${name}` : `${from}.${name}`);
  return {
    version: field('version'),
    ms: field('lastUpdatedMs'),
    deleted: { $eq: [{ $ifNull: [field('body'), null] }, null] },
    labels,
  };
}

/** The current version, or one that bore a label of `written` when it was written. */
function isTold({ written }: HistoryScope): Document {
  const common = { $setIntersection: ['$$v.labels', written.map((label) => ({ $literal: label }))] };
  return { $or: [{ $eq: ['$$v.version', '$last'] }, { $gt: [{ $size: common }, 0] }] };
}

function isWithin({ sinceMs, at }: HistoryPlan): Document {
  const conditions: Document[] = [{ $gte: ['$$v.version', 1] }];
  if (sinceMs !== undefined) conditions.push({ $gte: ['$$v.ms', sinceMs] });
  if (at !== undefined) {
    const replaced = {
      $filter: {
        input: '$told',
        as: 'later',
        cond: { $and: [{ $gt: ['$$later.version', '$$v.version'] }, { $lte: ['$$later.ms', at.startMs] }] },
      },
    };
    conditions.push(
      { $lt: ['$$v.ms', at.endMs] },
      { $or: [{ $eq: ['$$v.deleted', false] }, { $gte: ['$$v.ms', at.startMs] }] },
      { $eq: [{ $size: replaced }, 0] },
    );
  }
  return { $and: conditions };
}
