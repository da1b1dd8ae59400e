/**
 * The meaning of a search. Every store compiles clauses to its own queries, and must find exactly the resources for
 * which `matches` is true.
 */
import type { DateValue, IndexValue, ReferenceValue, SearchClause, TokenValue } from './ast.ts';
import type { Interval } from './date.ts';

/** The properties of a resource that are not index values. */
export interface MatchMeta {
  readonly id: string;
  readonly lastUpdatedMs: number;
  readonly labels: readonly string[];
}

/** Returns whether all clauses hold; true without clauses. */
export function matches(clauses: readonly SearchClause[], values: readonly IndexValue[], meta: MatchMeta): boolean {
  return clauses.every((clause) => matchesClause(clause, values, meta));
}

/**
 * Returns whether a clause holds. It holds if at least one index value of its parameter and kind matches at least one
 * of its search values. In addition:
 * - token `negated`: holds if no index value matches, so also for a resource without the parameter.
 * - `missing=true` holds if the resource has no index value of the parameter; `missing=false` holds if it has one. A value
 *   that cannot be indexed, such as a reference to another server, counts as missing.
 * - `id`: equal, case-sensitive. `label`: at least one label is equal, or all of one group;
 *   without either nothing matches.
 * - `last-updated`: as `date`, on the interval [lastUpdatedMs, lastUpdatedMs + 1).
 * - string: `starts` and `contains` compare with `normalised`, `exact` with `exact`.
 * - `uri`: equal, case-sensitive. `below` also holds if the URI continues the value after a slash.
 */
function matchesClause(clause: SearchClause, values: readonly IndexValue[], meta: MatchMeta): boolean {
  switch (clause.kind) {
    case 'id':
      return clause.any.includes(meta.id);
    case 'label':
      return (
        clause.any.some((label) => meta.labels.includes(label)) ||
        clause.groups?.some((group) => group.every((label) => meta.labels.includes(label))) === true
      );
    case 'last-updated': {
      const instant = { startMs: meta.lastUpdatedMs, endMs: meta.lastUpdatedMs + 1 };
      return clause.any.some((value) => matchesDate(value, instant));
    }
    case 'missing':
      return clause.missing === !values.some((value) => value.param === clause.param);
    case 'token': {
      const found = values.some(
        (value) =>
          value.kind === 'token' && value.param === clause.param && clause.any.some((v) => matchesToken(v, value)),
      );
      return found !== clause.negated;
    }
    default:
      return values.some((value) => value.param === clause.param && satisfies(clause, value));
  }
}

type ValueClause = Extract<SearchClause, { kind: 'reference' | 'date' | 'string' | 'uri' }>;

function satisfies(clause: ValueClause, value: IndexValue): boolean {
  switch (clause.kind) {
    case 'reference':
      return clause.any.some((v) => matchesReference(v, value));
    case 'date':
      return value.kind === 'date' && clause.any.some((v) => matchesDate(v, value));
    case 'uri':
      if (value.kind !== 'uri') return false;
      if (clause.any.includes(value.value)) return true;
      return clause.match === 'below' && clause.any.some((uri) => value.value.startsWith(asFolder(uri)));
    case 'string':
      if (value.kind !== 'string') return false;
      if (clause.match === 'exact') return clause.any.includes(value.exact);
      if (clause.match === 'starts') return clause.any.some((text) => value.normalised.startsWith(text));
      return clause.any.some((text) => value.normalised.includes(text));
  }
}

/** An undefined system or code matches any; a null system matches only values without a system. Case-sensitive. */
function matchesToken(search: TokenValue, target: { readonly system: string | null; readonly code: string }): boolean {
  if (search.system !== undefined && search.system !== target.system) return false;
  return search.code === undefined || search.code === target.code;
}

/** Compares a literal by id and, if the search names one, by type. Compares an identifier as a token. */
function matchesReference(search: ReferenceValue, target: IndexValue): boolean {
  if (search.kind === 'literal') {
    if (target.kind !== 'reference' || search.id !== target.id) return false;
    return search.type === undefined || search.type === target.type;
  }
  if (target.kind !== 'reference-identifier' || search.value !== target.value) return false;
  return search.system === undefined || search.system === target.system;
}

/**
 * Compares two intervals, start inclusive and end exclusive. https://hl7.org/fhir/R4/search.html#prefix
 *
 * | prefix | holds when                                                              |
 * |--------|-------------------------------------------------------------------------|
 * | eq     | search.startMs <= target.startMs and target.endMs <= search.endMs       |
 * | ne     | not eq                                                                  |
 * | gt     | target.endMs > search.endMs                                             |
 * | ge     | target.endMs > search.startMs                                           |
 * | lt     | target.startMs < search.startMs                                         |
 * | le     | target.startMs < search.endMs                                           |
 * | sa     | target.startMs >= search.endMs                                          |
 * | eb     | target.endMs <= search.startMs                                          |
 * | ap     | target.startMs < search.endMs and target.endMs > search.startMs         |
 */
function matchesDate(search: DateValue, target: Interval): boolean {
  switch (search.prefix) {
    case 'eq':
      return search.startMs <= target.startMs && target.endMs <= search.endMs;
    case 'ne':
      return search.startMs > target.startMs || target.endMs > search.endMs;
    case 'gt':
      return target.endMs > search.endMs;
    case 'ge':
      return target.endMs > search.startMs;
    case 'lt':
      return target.startMs < search.startMs;
    case 'le':
      return target.startMs < search.endMs;
    case 'sa':
      return target.startMs >= search.endMs;
    case 'eb':
      return target.endMs <= search.startMs;
    case 'ap':
      return target.startMs < search.endMs && target.endMs > search.startMs;
  }
}

/** Returns the prefix of all URIs below this one. */
export function asFolder(uri: string): string {
  return uri.endsWith('/') ? uri : `${uri}/`;
}
