/**
 * The search AST: what a search request means once it has been parsed and checked against the R4 SearchParameter
 * definitions. Stores compile it; `matches` evaluates it in memory. https://hl7.org/fhir/R4/search.html
 */

/** https://hl7.org/fhir/R4/search.html#prefix */
export type DatePrefix = 'eq' | 'ne' | 'gt' | 'lt' | 'ge' | 'le' | 'sa' | 'eb' | 'ap';

/**
 * A date search value: its implied interval, in epoch milliseconds, `startMs` inclusive and `endMs` exclusive. That of
 * `ap` has been widened when it was parsed: what overlaps it matches.
 */
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
 * code (`patient`), or what `textParam` and `ofTypeParam` make of it. `_id` and `_lastUpdated` are the kinds `id` and
 * `last-updated`. Plain JSON data, as is all of a plan.
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
  /** `below`: equal, or what follows the value begins a new segment of its path. */
  | {
      readonly kind: 'uri';
      readonly param: string;
      readonly match: 'exact' | 'below';
      readonly any: readonly string[];
    }
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

/**
 * `_include=Flag:author` or `_revinclude=Flag:patient` -> source Flag, and its parameter. `iterate`: applied to what has
 * been included as well.
 */
export interface Include {
  readonly source: string;
  readonly param: string;
  readonly target?: string;
  readonly iterate: boolean;
}

/**
 * A criterion on another resource, which the search is resolved of before a store sees it. `chain`: `param` of what is
 * searched refers to a resource of type `target` that meets the clause (`patient.birthdate=`). `has`: a resource of type
 * `target` that meets the clause refers with its `param` to what is searched (`_has:Flag:patient:status=`).
 */
export interface LinkedCriterion {
  readonly kind: 'chain' | 'has';
  readonly param: string;
  readonly target: string;
  readonly clause: SearchClause;
}

/** How exact `Bundle.total` has to be. https://hl7.org/fhir/R4/search.html#total */
export type TotalMode = 'none' | 'estimate' | 'accurate';

/** A parsed search request. */
export interface SearchQuery {
  readonly type: string;
  readonly clauses: readonly SearchClause[];
  /** They all hold too; see `LinkedCriterion`. */
  readonly linked: readonly LinkedCriterion[];
  /** Empty: the store's default order. */
  readonly sort: readonly SortKey[];
  /** Page size after clamping to the limit; undefined: not given by the client. */
  readonly count: number | undefined;
  readonly summary: 'count' | undefined;
  readonly total: TotalMode | undefined;
  readonly include: readonly Include[];
  readonly revinclude: readonly Include[];
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
  /** The page also ends with the match that makes its texts so long, in characters. */
  readonly maxLength?: number;
  readonly after?: KeysetPosition;
  /** Whether the number of all matches, over all pages, is wanted. */
  readonly total: boolean;
}

/** The parameter under which the texts of a token (display, text, type of an identifier) are strings: `code:text`. */
export const textParam = (code: string): string => `${code}:text`;

/** The parameter under which typed identifiers are tokens of the value in the system `system|code` of the type. */
export const ofTypeParam = (code: string): string => `${code}:of-type`;

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
