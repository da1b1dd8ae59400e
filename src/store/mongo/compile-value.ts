/**
 * One clause as filters on the index entries of a resource, by the rules of https://hl7.org/fhir/R4/search.html. Whatever
 * a client has sent stands in a filter as the operand of an operator, never as a filter or a pattern.
 */
import type { Document, Filter } from 'mongodb';
import type { DateValue, ReferenceValue, SearchClause, TokenValue } from '../../fhir/search/ast.ts';
import { asFolder } from '../../fhir/search/matches.ts';
import { indexKind } from '../index-kind.ts';
import { afterAllThatStartWith } from '../text-range.ts';
import type { ResourceDocument } from './documents.ts';
import { paramKey } from './encode-unit.ts';

/** The clauses that are answered by index entries. */
export type ValueClause = Exclude<SearchClause, { kind: 'missing' | 'id' | 'last-updated' | 'label' }>;

type ResourceFilter = Filter<ResourceDocument>;

export const nothing = { _id: { $in: [] } };

/** A clause without values matches nothing. */
export function compileValues(type: string, clause: ValueClause): ResourceFilter {
  const p = paramKey(type, clause.param);
  if (clause.kind === 'string' && clause.match === 'contains') return containing(p, clause.any);
  return anyOf(valueConditions(clause).map((condition) => hasEntry({ p: { $eq: p }, ...condition })));
}

/** `$or` of the filters; nothing when there is none. */
export function anyOf(filters: readonly Document[]): Document {
  const [first] = filters;
  if (first === undefined) return nothing;
  return filters.length === 1 ? first : { $or: filters };
}

/** A date value against the instant in `field`, whose interval is that millisecond. */
export function instantCondition(field: string, { prefix, startMs, endMs }: DateValue): Document {
  switch (prefix) {
    case 'eq':
    case 'ap':
      return { [field]: { $gte: startMs, $lt: endMs } };
    case 'ne':
      return { $or: [{ [field]: { $lt: startMs } }, { [field]: { $gte: endMs } }] };
    case 'ge':
      return { [field]: { $gte: startMs } };
    case 'gt':
    case 'sa':
      return { [field]: { $gte: endMs } };
    case 'lt':
    case 'eb':
      return { [field]: { $lt: startMs } };
    case 'le':
      return { [field]: { $lt: endMs } };
  }
}

/** Has an index entry that meets the condition; also used for any entry of a parameter. */
export function hasEntry(condition: Document): ResourceFilter {
  return { index: { $elemMatch: condition } };
}

/** Conditions on one index entry; one of them has to be met. */
function valueConditions(clause: ValueClause): Document[] {
  switch (clause.kind) {
    case 'token':
      return clause.any.map((value) => ({ k: { $eq: indexKind.token }, ...tokenCondition(value) }));
    case 'reference':
      return clause.any.map(referenceCondition);
    case 'date':
      return clause.any.flatMap(dateConditions).map((condition) => ({ k: { $eq: indexKind.date }, ...condition }));
    case 'uri': {
      const k = { $eq: indexKind.uri };
      const equal = { k, a: { $in: [...clause.any] } };
      return clause.match === 'exact'
        ? [equal]
        : [equal, ...clause.any.map((uri) => ({ k, ...starts(asFolder(uri)) }))];
    }
    case 'string': {
      const k = { $eq: indexKind.string };
      if (clause.match === 'exact') return [{ k, b: { $in: [...clause.any] } }];
      return clause.any.map((text) => ({ k, ...starts(text) }));
    }
  }
}

function tokenCondition({ system, code }: TokenValue): Document {
  return {
    ...(code === undefined ? {} : { a: { $eq: code } }),
    ...(system === undefined ? {} : { b: { $eq: system ?? '' } }),
  };
}

function referenceCondition(value: ReferenceValue): Document {
  if (value.kind === 'identifier') {
    const token = { code: value.value, ...(value.system === undefined ? {} : { system: value.system }) };
    return { k: { $eq: indexKind['reference-identifier'] }, ...tokenCondition(token) };
  }
  const literal = { k: { $eq: indexKind.reference }, a: { $eq: value.id } };
  return value.type === undefined ? literal : { ...literal, b: { $eq: value.type } };
}

function dateConditions({ prefix, startMs, endMs }: DateValue): Document[] {
  switch (prefix) {
    case 'eq':
      return [{ a: { $gte: startMs }, b: { $lte: endMs } }];
    case 'ne':
      return [{ a: { $lt: startMs } }, { b: { $gt: endMs } }];
    case 'ge':
      return [{ b: { $gt: startMs } }];
    case 'gt':
      return [{ b: { $gt: endMs } }];
    case 'lt':
      return [{ a: { $lt: startMs } }];
    case 'le':
      return [{ a: { $lt: endMs } }];
    case 'sa':
      return [{ a: { $gte: endMs } }];
    case 'eb':
      return [{ b: { $lte: startMs } }];
    case 'ap':
      return [{ a: { $lt: endMs }, b: { $gt: startMs } }];
  }
}

function starts(prefix: string): Document {
  const end = afterAllThatStartWith(prefix);
  return { a: end === undefined ? { $gte: prefix } : { $gte: prefix, $lt: end } };
}

/** No pattern is made of the text: the server looks for it as it is, in the entries of this parameter. */
function containing(p: string, any: readonly string[]): Document {
  if (any.length === 0) return nothing;
  const isHere = (text: string): Document => ({ $gte: [{ $indexOfCP: ['$$entry.a', { $literal: text }] }, 0] });
  const found = any.map((text) => ({
    $gt: [
      {
        $size: {
          $filter: {
            input: '$index',
            as: 'entry',
            // Only then `a` is a text.
            cond: {
              $cond: [
                { $and: [{ $eq: ['$$entry.p', { $literal: p }] }, { $eq: ['$$entry.k', indexKind.string] }] },
                isHere(text),
                false,
              ],
            },
          },
        },
      },
      0,
    ],
  }));
  return { index: { $elemMatch: { p: { $eq: p }, k: { $eq: indexKind.string } } }, $expr: { $or: found } };
}
