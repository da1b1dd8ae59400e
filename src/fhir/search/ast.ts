/**
 * The search AST: what a search request means once it has been parsed and checked against the R4 SearchParameter
 * definitions. Stores compile it; `matches` evaluates it in memory. https://hl7.org/fhir/R4/search.html
 */

/** https://hl7.org/fhir/R4/search.html#prefix */
export type DatePrefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb';

/** A date search value: its implied interval, in epoch milliseconds, `startMs` inclusive and `endMs` exclusive. */
export interface DateValue {
  readonly prefix: DatePrefix;
  readonly startMs: number;
  readonly endMs: number;
}

/**
 * A token search value. `system` undefined: any system (`code`); null: no system (`|code`).
 * `code` undefined: any code of the system (`system|`).
 */
export interface TokenValue {
  readonly system?: string | null;
  readonly code?: string;
}

/** A reference search value: a literal target, or with `:identifier` a logical one. `type` undefined: any target type. */
export type ReferenceValue =
  | { readonly kind: 'literal'; readonly type?: string; readonly id: string }
  | { readonly kind: 'identifier'; readonly system?: string | null; readonly value: string };

/**
 * One criterion; values in `any` are alternatives (OR), clauses in a list all hold (AND). `param` is the parameter's
 * code (`patient`). `_id` and `_lastUpdated` are the kinds `id` and `last-updated`.
 */
export type SearchClause =
  | { readonly kind: 'token'; readonly param: string; readonly negated: boolean; readonly any: readonly TokenValue[] }
  | { readonly kind: 'reference'; readonly param: string; readonly any: readonly ReferenceValue[] }
  | { readonly kind: 'date'; readonly param: string; readonly any: readonly DateValue[] }
  | {
      readonly kind: 'string';
      readonly param: string;
      readonly match: 'starts' | 'contains' | 'exact';
      /** Normalised (`normaliseText`) for `starts` and `contains`; verbatim for `exact`. */
      readonly any: readonly string[];
    }
  | { readonly kind: 'uri'; readonly param: string; readonly any: readonly string[] }
  | { readonly kind: 'missing'; readonly param: string; readonly missing: boolean }
  | { readonly kind: 'id'; readonly any: readonly string[] }
  | { readonly kind: 'last-updated'; readonly any: readonly DateValue[] }
  /** Never parsed from a request: the access policy's own narrowing. An empty `any` matches nothing. */
  | { readonly kind: 'label'; readonly any: readonly string[] };

/** `param` is a sortable parameter's code, `_id` or `_lastUpdated`. */
export interface SortKey {
  readonly param: string;
  readonly descending: boolean;
}

/** `_include=Flag:author` -> source Flag, param author; `:iterate` is a later issue. */
export interface Include {
  readonly source: string;
  readonly param: string;
  readonly target?: string;
}

/** A parsed search request. */
export interface SearchQuery {
  readonly type: string;
  readonly clauses: readonly SearchClause[];
  /** Empty: the store's default order. */
  readonly sort: readonly SortKey[];
  /** Page size after clamping to the limit; undefined: not given by the client. */
  readonly count: number | undefined;
  readonly summary: 'count' | undefined;
  readonly include: readonly Include[];
  /** The opaque `_cursor` value, when this is a further page. */
  readonly cursor: string | undefined;
  /** The parameters that were understood, as name and value, in request order, for `Bundle.link[self]`. `_cursor` excluded. */
  readonly applied: readonly (readonly [name: string, value: string])[];
  /** Names of parameters that were not understood and, under lenient handling, ignored. */
  readonly ignored: readonly string[];
}

/** Where a page ended: the values of the sort keys of its last match, in order, then its tie-breaker (the id or sequence). */
export type KeysetPosition = readonly (string | number | null)[];

/** What a store is asked to find. */
export interface SearchPlan {
  readonly type: string;
  readonly clauses: readonly SearchClause[];
  readonly sort: readonly SortKey[];
  /** How many matches at most; 0 with `total` counts only. */
  readonly limit: number;
  readonly after?: KeysetPosition;
  /** Whether the number of all matches, over all pages, is wanted. */
  readonly total: boolean;
}

/** One searchable value of a resource, extracted at write. */
export type IndexValue =
  | { readonly kind: 'token'; readonly param: string; readonly system: string | null; readonly code: string }
  | { readonly kind: 'reference'; readonly param: string; readonly type: string; readonly id: string }
  | {
      readonly kind: 'reference-identifier';
      readonly param: string;
      readonly system: string | null;
      readonly value: string;
    }
  | { readonly kind: 'date'; readonly param: string; readonly startMs: number; readonly endMs: number }
  | { readonly kind: 'string'; readonly param: string; readonly normalised: string; readonly exact: string }
  | { readonly kind: 'uri'; readonly param: string; readonly value: string };
