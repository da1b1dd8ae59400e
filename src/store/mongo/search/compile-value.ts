/**
 * Compiles one clause to filters on the searchable values of a resource, by https://hl7.org/fhir/R4/search.html. Text from a
 * client is only ever the operand of an operator, or an escaped part of the one regular expression.
 */
import type { Document, Filter } from 'mongodb';
import { fault } from '../../../fhir/fault.ts';
import type { DateValue, SearchClause } from '../../../fhir/search/ast.ts';
import { asFolder } from '../../../fhir/search/matches.ts';
import type { ResourceDocument } from '../encoding/documents.ts';
import { literalPattern, startingWith } from '../encoding/key-text.ts';
import { exactKey, folderKey, paramKey, referenceKey, textKey, tokenKey, uriKey } from '../encoding/search-key.ts';

/** The clauses on searchable values. */
export type ValueClause = Exclude<SearchClause, { kind: 'missing' | 'id' | 'last-updated' | 'label' }>;

type ResourceFilter = Filter<ResourceDocument>;

/** Filter that matches nothing. */
export const nothing = { _id: { $in: [] } };

/** MongoDB limits a regular expression to 32,764 bytes, and a character takes at most six. */
const maxPatternCharacters = 2_000;

/** Compiles a clause. One without values matches nothing. Throws FhirFault `invalid` for a text that is too long. */
export function compileValues(type: string, clause: ValueClause): ResourceFilter {
  const p = paramKey(type, clause.param);
  switch (clause.kind) {
    case 'token':
      return hasKey(clause.any.map((value) => tokenKey(p, value)));
    case 'reference':
      return hasKey(clause.any.map((value) => referenceKey(p, value)));
    case 'date':
      return anyOf(clause.any.map((value) => dateCondition(clause.param, value)));
    case 'uri': {
      const below = clause.match === 'exact' ? [] : clause.any.map((uri) => folderKey(p, asFolder(uri)));
      return hasKey([...clause.any.map((uri) => uriKey(p, uri)), ...below]);
    }
    case 'string':
      if (clause.match === 'exact') return hasKey(clause.any.map((text) => exactKey(p, text)));
      return anyOf(clause.any.map((text) => (clause.match === 'starts' ? startsWith(p, text) : contains(p, text))));
  }
}

/** Returns the `$or` of the filters; without filters, one that matches nothing. */
export function anyOf(filters: readonly Document[]): Document {
  const [first] = filters;
  if (first === undefined) return nothing;
  return filters.length === 1 ? first : { $or: filters };
}

/** Compares a date value with the instant in `field`, which is an interval of one millisecond. */
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

/** Returns the filter of resources with one of these keys. */
export function hasKey(keys: readonly string[]): ResourceFilter {
  const [first] = keys;
  if (first === undefined) return nothing;
  return { keys: keys.length === 1 ? { $eq: first } : { $in: [...new Set(keys)] } };
}

function startsWith(p: string, text: string): ResourceFilter {
  return { keys: { $elemMatch: startingWith(textKey(p, text)) } };
}

/** The range limits the index scan to the texts of this parameter. */
function contains(p: string, text: string): ResourceFilter {
  if ([...text].length > maxPatternCharacters) {
    throw fault(
      'invalid',
      `The text to search for with :contains has more than ${maxPatternCharacters} characters. Shorten it.`,
      {
        code: 'too-costly',
      },
    );
  }
  const prefix = textKey(p, '');
  const pattern = `^${literalPattern(prefix)}[\\s\\S]*${literalPattern(text)}`;
  return { keys: { $elemMatch: { ...startingWith(prefix), $regex: pattern } } };
}

function dateCondition(param: string, { prefix, startMs, endMs }: DateValue): Document {
  const start = `dates.${param}.startMs`;
  const end = `dates.${param}.endMs`;
  switch (prefix) {
    case 'eq':
      return ofOneDate(param, { $gte: startMs }, { $lte: endMs });
    case 'ap':
      return ofOneDate(param, { $lt: endMs }, { $gt: startMs });
    case 'ne':
      return { $or: [{ [start]: { $lt: startMs } }, { [end]: { $gt: endMs } }] };
    case 'ge':
      return { [end]: { $gt: startMs } };
    case 'gt':
      return { [end]: { $gt: endMs } };
    case 'lt':
      return { [start]: { $lt: startMs } };
    case 'le':
      return { [start]: { $lt: endMs } };
    case 'sa':
      return { [start]: { $gte: endMs } };
    case 'eb':
      return { [end]: { $lte: startMs } };
  }
}

/** Applies both conditions to the same date of the parameter. */
function ofOneDate(param: string, start: Document, end: Document): Document {
  return { [`dates.${param}`]: { $elemMatch: { startMs: start, endMs: end } } };
}
