/** Compiles a search plan over resources to a filter and, where it is sorted, to the stages that place each match. */
import type { Document } from 'mongodb';
import type { KeysetPosition, SearchClause, SearchPlan, SortKey } from '../../fhir/search/ast.ts';
import { indexKind } from '../index-kind.ts';
import { anyOf, compileValues, hasEntry, instantCondition, nothing } from './compile-value.ts';
import { paramKey } from './encode-unit.ts';

/** All matches, over all pages. */
export function compileFilter(plan: SearchPlan): Document {
  const conditions = plan.clauses.map((clause) => compileClause(plan.type, clause));
  const current = { type: { $eq: plan.type }, deleted: { $eq: false } };
  return conditions.length === 0 ? current : { ...current, $and: conditions };
}

function compileClause(type: string, clause: SearchClause): Document {
  switch (clause.kind) {
    case 'id':
      return { id: { $in: [...clause.any] } };
    case 'label':
      return { labels: { $in: [...clause.any] } };
    case 'last-updated':
      return anyOf(clause.any.map((value) => instantCondition('lastUpdatedMs', value)));
    case 'missing': {
      if (clause.param === '_id' || clause.param === '_lastUpdated') return clause.missing ? nothing : {};
      const present = hasEntry({ p: { $eq: paramKey(type, clause.param) } });
      return clause.missing ? { $nor: [present] } : present;
    }
    default: {
      const found = compileValues(type, clause);
      return clause.kind === 'token' && clause.negated ? { $nor: [found] } : found;
    }
  }
}

/** The filter of one page in the order of ids. */
export function compileUnsortedPage(plan: SearchPlan): Document {
  const filter = compileFilter(plan);
  const after = plan.after?.[0];
  return after === undefined ? filter : { $and: [filter, { id: { $gt: after } }] };
}

/** Stages that give `_id`, `id` and the sort values `s0`, `s1` ... of one match more than `limit`, in order. */
export function compileSortedPage(plan: SearchPlan): Document[] {
  const values = Object.fromEntries(plan.sort.map((key, index) => [`s${index}`, sortValue(plan.type, key)]));
  const absences = plan.sort.map((_, index) => [`m${index}`, { $cond: [{ $eq: [`$s${index}`, null] }, 1, 0] }]);
  const order = plan.sort.flatMap(({ descending }, index) => [
    [`m${index}`, 1],
    [`s${index}`, descending ? -1 : 1],
  ]);
  return [
    { $match: compileFilter(plan) },
    { $project: { id: 1, ...values } },
    { $addFields: Object.fromEntries(absences) },
    ...(plan.after === undefined ? [] : [{ $match: compileKeyset(plan.sort, plan.after) }]),
    { $sort: Object.fromEntries([...order, ['id', 1]]) },
    { $limit: plan.limit + 1 },
  ];
}

function sortValue(type: string, { param, descending }: SortKey): Document | string {
  if (param === '_id') return '$id';
  if (param === '_lastUpdated') return '$lastUpdatedMs';
  const own = {
    $filter: {
      input: '$index',
      as: 'entry',
      cond: {
        $and: [
          { $eq: ['$$entry.p', { $literal: paramKey(type, param) }] },
          { $ne: ['$$entry.k', indexKind['reference-identifier']] },
        ],
      },
    },
  };
  const values = {
    $map: {
      input: own,
      as: 'entry',
      in: descending ? { $cond: [{ $eq: ['$$entry.k', indexKind.date] }, '$$entry.b', '$$entry.a'] } : '$$entry.a',
    },
  };
  return { $ifNull: [{ [descending ? '$max' : '$min']: values }, null] };
}

/** What comes after a position, in an order with missing values last: greater at some key, equal at all before it. */
function compileKeyset(sort: readonly SortKey[], after: KeysetPosition): Document {
  const alternatives: Document[] = [];
  const equal: Document[] = [];
  for (const [index, { descending }] of sort.entries()) {
    const value = after[index] ?? null;
    if (value !== null) {
      const later = { [`s${index}`]: { [descending ? '$lt' : '$gt']: value } };
      alternatives.push({ $and: [...equal, { $or: [later, { [`m${index}`]: { $eq: 1 } }] }] });
    }
    equal.push(value === null ? { [`m${index}`]: { $eq: 1 } } : { [`s${index}`]: { $eq: value } });
  }
  alternatives.push({ $and: [...equal, { id: { $gt: after[sort.length] ?? '' } }] });
  return { $or: alternatives };
}
