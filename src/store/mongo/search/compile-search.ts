/** Compiles a search plan over resources to a filter or, if it is sorted, to the stages that put the matches in order. */
import type { Document } from 'mongodb';
import type { KeysetPosition, SearchClause, SearchPlan, SortKey } from '../../../fhir/search/ast.ts';
import type { ResourceDocument } from '../encoding/documents.ts';
import { paramKey } from '../encoding/search-key.ts';
import { anyOf, compileValues, hasKey, instantCondition, nothing } from './compile-value.ts';

/** Returns the filter of all matches, on all pages. */
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
      const present = hasKey([paramKey(type, clause.param)]);
      return clause.missing ? { $nor: [present] } : present;
    }
    default: {
      const found = compileValues(type, clause);
      return clause.kind === 'token' && clause.negated ? { $nor: [found] } : found;
    }
  }
}

/** Returns the filter of one page in the order of ids. */
export function compileUnsortedPage(plan: SearchPlan): Document {
  const filter = compileFilter(plan);
  const after = plan.after?.[0];
  return after === undefined ? filter : { $and: [filter, { id: { $gt: after } }] };
}

/** The fields that a sorted page is ordered by. */
export type PlacedDocument = Pick<ResourceDocument, '_id' | 'id' | 'lastUpdatedMs' | 'order'>;

/** Returns the stages that produce the sort fields of one match more than `limit`, in order. */
export function compileSortedPage(plan: SearchPlan): Document[] {
  const fields = plan.sort.map(sortFields);
  const order = new Map<string, 1 | -1>();
  // If two sort keys name the same field, the first one counts.
  const add = (field: string, direction: 1 | -1) => void (order.has(field) || order.set(field, direction));
  for (const [index, { descending }] of plan.sort.entries()) {
    const { has, value } = fields[index] ?? { has: undefined, value: 'id' };
    if (has !== undefined) add(has, -1);
    add(value, descending ? -1 : 1);
  }
  add('id', 1);
  const sorted = fields.flatMap(({ has }) => has?.replace(/\.has$/, '') ?? []);
  return [
    { $match: compileFilter(plan) },
    { $project: { id: 1, lastUpdatedMs: 1, ...Object.fromEntries(sorted.map((field) => [field, 1])) } },
    ...(plan.after === undefined ? [] : [{ $match: compileKeyset(plan.sort, plan.after) }]),
    { $sort: Object.fromEntries(order) },
    { $limit: plan.limit + 1 },
  ];
}

/** Returns the position of a match in the order of the plan. */
export function positionOf(
  { sort }: SearchPlan,
  { id = '', lastUpdatedMs = 0, order }: PlacedDocument,
): KeysetPosition {
  const values = sort.map(({ param, descending }) => {
    if (param === '_id') return id;
    if (param === '_lastUpdated') return lastUpdatedMs;
    return order?.[param]?.[descending ? 'high' : 'low'] ?? null;
  });
  return [...values, id];
}

interface SortFields {
  readonly value: string;
  /** Absent if every resource has a value. */
  readonly has?: string;
}

function sortFields({ param, descending }: SortKey): SortFields {
  if (param === '_id') return { value: 'id' };
  if (param === '_lastUpdated') return { value: 'lastUpdatedMs' };
  return { value: `order.${param}.${descending ? 'high' : 'low'}`, has: `order.${param}.has` };
}

/**
 * Returns the condition on matches after a position: greater at one sort key, and equal at all keys before it. Missing values
 * come last.
 */
function compileKeyset(sort: readonly SortKey[], after: KeysetPosition): Document {
  const alternatives: Document[] = [];
  const equal: Document[] = [];
  for (const [index, key] of sort.entries()) {
    const { value: field, has } = sortFields(key);
    const value = after[index] ?? null;
    const isMissing = has === undefined ? [] : [{ [has]: { $exists: false } }];
    if (value === null) {
      equal.push(...isMissing);
      continue;
    }
    const later = { [field]: { [key.descending ? '$lt' : '$gt']: value } };
    alternatives.push({ $and: [...equal, { $or: [later, ...isMissing] }] });
    equal.push({ [field]: { $eq: value } });
  }
  alternatives.push({ $and: [...equal, { id: { $gt: after[sort.length] ?? '' } }] });
  return { $or: alternatives };
}
