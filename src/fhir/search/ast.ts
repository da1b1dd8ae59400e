/**
 * The search AST: a search request that has been parsed and checked against the R4 SearchParameter definitions. Stores
 * compile it; `matches` evaluates it in memory. https://hl7.org/fhir/R4/search.html
 */

/** https://hl7.org/fhir/R4/search.html#prefix */
export type DatePrefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

/**
 * The interval of a date search value, in epoch milliseconds, `startMs` inclusive and `endMs` exclusive. The parser has
 * already widened the interval of `ap`, which matches whatever overlaps it.
 */
export interface DateValue {
  readonly prefix: DatePrefix;
  readonly startMs: number;
  readonly endMs: number;
}

/**
 * A token search value. An undefined `system` means any system (`code`), null means no system (`|code`). An undefined
 * `code` means any code of the system (`system|`).
 */
export interface TokenValue {
  readonly system?: string | null;
  readonly code?: string;
}

/**
 * A reference search value: a literal target, or a logical one with `:identifier`. An undefined `type` means any target
 * type.
 */
export type ReferenceValue =
  | {
      readonly kind: 'literal';
      readonly type?: string;
      readonly id: string;
      /** Any id that starts with `id`. Added by the server to searches of AuditEvents, never parsed. */
      readonly isPrefix?: true;
    }
  | { readonly kind: 'identifier'; readonly system?: string | null; readonly value: string };

/**
 * A criterion. The values in `any` are alternatives (OR); all clauses of a list must hold (AND). `param` is the code of
 * the parameter, such as `patient`, or the result of `textParam` or `ofTypeParam`. `_id` and `_lastUpdated` are the
 * kinds `id` and `last-updated`. A plan consists of plain JSON data.
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
  /** `below` matches an equal URI, and one that continues with a new path segment. */
  | {
      readonly kind: 'uri';
      readonly param: string;
      readonly match: 'exact' | 'below';
      readonly any: readonly string[];
    }
  | { readonly kind: 'missing'; readonly param: string; readonly missing: boolean }
  | { readonly kind: 'id'; readonly any: readonly string[] }
  | { readonly kind: 'last-updated'; readonly any: readonly DateValue[] }
  /**
   * Added by the access policy, never parsed from a request. An empty `any` matches nothing. On AuditEvents, a resource also
   * matches that has every label of one of the `groups`.
   */
  | { readonly kind: 'label'; readonly any: readonly string[]; readonly groups?: readonly (readonly string[])[] };

/** `param` is the code of a sortable parameter, `_id` or `_lastUpdated`. */
export interface SortKey {
  readonly param: string;
  readonly descending: boolean;
}

/**
 * `_include=Flag:author` or `_revinclude=Flag:patient`: the source is Flag in both. `iterate` also applies it to
 * included resources.
 */
export interface Include {
  readonly source: string;
  readonly param: string;
  readonly target?: string;
  readonly iterate: boolean;
}

/**
 * A criterion on another resource, which is resolved before a store sees the search. `chain`: `param` refers to a
 * resource of type `target` that matches the clause (`patient.birthdate=`). `has`: a resource of type `target` that
 * matches the clause refers to the searched resource with its `param` (`_has:Flag:patient:status=`).
 */
export interface LinkedCriterion {
  readonly kind: 'chain' | 'has';
  readonly param: string;
  readonly target: string;
  readonly clause: SearchClause;
}

/** Required accuracy of `Bundle.total`. https://hl7.org/fhir/R4/search.html#total */
export type TotalMode = 'none' | 'estimate' | 'accurate';

/** A parsed search request. */
export interface SearchQuery {
  readonly type: string;
  readonly clauses: readonly SearchClause[];
  /** Further criteria that must all hold. See `LinkedCriterion`. */
  readonly linked: readonly LinkedCriterion[];
  /** Empty for the store's default order. */
  readonly sort: readonly SortKey[];
  /** Page size, lowered to the maximum; undefined if the client sent none. */
  readonly count: number | undefined;
  readonly summary: 'count' | undefined;
  readonly total: TotalMode | undefined;
  readonly include: readonly Include[];
  readonly revinclude: readonly Include[];
  /** The opaque `_cursor` value of a further page. */
  readonly cursor: string | undefined;
  /** Understood parameters as name and value, in request order, for `Bundle.link[self]`. Without `_cursor`. */
  readonly applied: readonly (readonly [name: string, value: string])[];
  /** Names of unknown parameters that were ignored under lenient handling. */
  readonly ignored: readonly string[];
}

/** The end of a page: the sort values of its last match, in order, then its tie-breaker (id or sequence number). */
export type KeysetPosition = readonly (string | number | null)[];

/** A search for a store to run. */
export interface SearchPlan {
  readonly type: string;
  readonly clauses: readonly SearchClause[];
  readonly sort: readonly SortKey[];
  /** Maximum number of matches. 0 with `total` only counts. */
  readonly limit: number;
  /** The page also ends with the match that reaches this total length of texts, in characters. */
  readonly maxLength?: number;
  readonly after?: KeysetPosition;
  /** Whether to count all matches, over all pages. */
  readonly total: boolean;
}

/** Returns the string parameter that holds the texts of a token (display, text, type of an identifier). */
export const textParam = (code: string): string => `${code}:text`;

/** Returns the token parameter that holds typed identifiers: the value, in the system `system|code` of the type. */
export const ofTypeParam = (code: string): string => `${code}:of-type`;

/** A searchable value of a resource, extracted when the resource is written. */
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
