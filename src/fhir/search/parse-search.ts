/** Search requests, from name-value pairs to the AST. https://hl7.org/fhir/R4/search.html */
import { defined } from '../defined.ts';
import type { SearchParameterDefinitions } from '../definitions/search-parameters.ts';
import { FhirFault, fault, type Issue } from '../fault.ts';
import type { Include, LinkedCriterion, SearchClause, SearchQuery, SortKey, TotalMode } from './ast.ts';
import { parseClause, parseIdClause, parseLastUpdatedClause } from './clause.ts';
import { type LinkOptions, parseChained, parseReverse } from './linked-criterion.ts';
import { leadingCode, type ParameterName, parseParameterName } from './parameter-name.ts';
import { Problem } from './problem.ts';
import { parseCount, parseInclude, parseSort, parseSummary, parseTotal } from './result-parameters.ts';
import { checkText } from './values.ts';

export interface ParseSearchOptions extends LinkOptions {
  readonly definitions: SearchParameterDefinitions;
  /** Codes served for this type and caller, `_id` and `_lastUpdated` among them; every other code counts as unknown. */
  readonly allowed: ReadonlySet<string>;
  /** Codes of the tokens whose texts are indexed for `:text`. */
  readonly texts?: ReadonlySet<string>;
  /** Codes of the references whose own identifiers are not indexed: `:identifier` is refused, the chain is not. */
  readonly literals?: ReadonlySet<string>;
  /** Now, for the prefix `ap`, epoch milliseconds; without it, `ap` is refused. */
  readonly nowMs?: number;
  /** `Prefer: handling`: whether an unknown parameter is refused or reported in `ignored`. */
  readonly handling: 'strict' | 'lenient';
  /** The server's base URL, without a slash at its end. */
  readonly baseUrl: string;
  /** `SearchQuery.count` when the client gives no `_count`; without it, undefined. */
  readonly defaultCount?: number;
  /** The largest page size: a larger `_count` is lowered to it. */
  readonly maxCount: number;
  /** What may be included, as `Flag:author`. */
  readonly includes: ReadonlySet<string>;
  /** What may be included in reverse, as `Flag:patient`. */
  readonly revincludes?: ReadonlySet<string>;
  /** What `:iterate` takes besides, either way. */
  readonly iterates?: ReadonlySet<string>;
  /** Codes that may be sorted by, `_id` and `_lastUpdated` where they may. */
  readonly sorts: ReadonlySet<string>;
}

const maxParameters = 50;
const maxResultParameterLength = 1024;
const maxCursorLength = 8192;
const maxIncludes = 10;
const maxLinked = 5;

const malformed = new Problem('invalid', 'The name is not that of a search parameter.');
const unknown = new Problem('not-supported', 'The search parameter is not supported.');
const repeated = new Problem('invalid', 'The parameter may be given once only.');
const refused = new Problem('not-supported', 'This search parameter is refused here, whatever the handling.');
const noModifier = new Problem('not-supported', 'The modifier is not supported for this parameter.');

const tooManyLinked = new Problem('too-costly', `There may be at most ${maxLinked} chains and _has.`);
const tooManyIncludes = new Problem('too-costly', `There may be at most ${maxIncludes} of them.`);

/** Criteria: to ignore one would widen the search, so they are refused under lenient handling too. */
const refusedAlways = new Set(['_text', '_content', '_query', '_filter', '_list']);

interface Draft {
  readonly clauses: SearchClause[];
  readonly linked: LinkedCriterion[];
  readonly include: Include[];
  readonly revinclude: Include[];
  readonly applied: (readonly [name: string, value: string])[];
  readonly ignored: string[];
  readonly issues: Issue[];
  sort: readonly SortKey[] | undefined;
  count: number | undefined;
  summary: 'count' | 'false' | undefined;
  total: TotalMode | undefined;
  cursor: string | undefined;
}

/**
 * Parses the decoded name-value pairs of one search of `type`. `_format` and `_pretty` are skipped. Throws FhirFault
 * (400, `invalid`, or `not-supported` when that is all that is wrong) with one issue for each problem of the request;
 * `expression` is the parameter's name. Unsupported modifiers, chains and result parameters' values are refused under
 * lenient handling too.
 */
export function parseSearch(
  type: string,
  params: readonly (readonly [name: string, value: string])[],
  options: ParseSearchOptions,
): SearchQuery {
  if (params.length > maxParameters) {
    throw fault('invalid', `A search may have at most ${maxParameters} parameters.`, { code: 'too-costly' });
  }
  const draft: Draft = {
    clauses: [],
    linked: [],
    include: [],
    revinclude: [],
    applied: [],
    ignored: [],
    issues: [],
    sort: undefined,
    count: undefined,
    summary: undefined,
    total: undefined,
    cursor: undefined,
  };
  for (const pair of params) parseParameter(type, pair, options, draft);
  if (draft.issues.length > 0) {
    const unsupported = draft.issues.every((issue) => issue.code === 'not-supported');
    throw new FhirFault(unsupported ? 'not-supported' : 'invalid', draft.issues);
  }
  const { clauses, linked, sort, count, summary, total, include, revinclude, cursor, applied, ignored } = draft;
  return {
    type,
    clauses,
    linked,
    sort: sort ?? [],
    count: count ?? options.defaultCount,
    summary: summary === 'count' ? 'count' : undefined,
    total,
    include,
    revinclude,
    cursor,
    applied,
    ignored,
  };
}

function parseParameter(
  type: string,
  pair: readonly [name: string, value: string],
  options: ParseSearchOptions,
  draft: Draft,
): void {
  const [text, value] = pair;
  if (text === '_format' || text === '_pretty') return;
  const name = parseParameterName(text);
  if (name === undefined) {
    const code = leadingCode(text);
    draft.issues.push(
      toIssue(malformed, options.allowed.has(code) || Object.hasOwn(resultParameters, code) ? code : undefined),
    );
    return;
  }
  const outcome = interpret(type, name, value, options, draft);
  if (outcome === undefined) {
    // `self` says what was done: a `_count` above the limit was lowered to it.
    if (name.code === '_count') draft.applied.push([text, String(draft.count)]);
    else if (name.code !== '_cursor') draft.applied.push(pair);
  } else if (outcome !== unknown) draft.issues.push(toIssue(outcome, name.code));
  else if (options.handling === 'strict') draft.issues.push(toIssue(unknown, nameParameter(text)));
  else draft.ignored.push(text);
}

function interpret(
  type: string,
  name: ParameterName,
  value: string,
  options: ParseSearchOptions,
  draft: Draft,
): Problem | undefined {
  const { code } = name;
  if (refusedAlways.has(code)) return refused;
  if (code === '_has' || options.allowed.has(code)) {
    const parseLinked = code === '_has' ? parseReverse : parseChained;
    const linked = parseLinked(name, value, options, parseSelection);
    if (linked !== undefined) return linked instanceof Problem ? linked : addLinked(draft.linked, linked);
    const clause = parseSelection(type, name, value, options);
    if (clause instanceof Problem) return clause;
    draft.clauses.push(clause);
    return undefined;
  }
  const parseResult =
    code.startsWith('_') && Object.hasOwn(resultParameters, code) ? resultParameters[code] : undefined;
  if (parseResult === undefined) return unknown;
  const iterate = name.modifier === 'iterate' && (code === '_include' || code === '_revinclude');
  if ((name.modifier !== undefined && !iterate) || name.chain !== undefined) return noModifier;
  const problem = checkText(value, code === '_cursor' ? maxCursorLength : maxResultParameterLength);
  return problem ?? parseResult(value, draft, options, iterate);
}

function parseSelection(
  type: string,
  name: ParameterName,
  value: string,
  options: ParseSearchOptions,
): SearchClause | Problem {
  if (name.code === '_id') return parseIdClause(name, value);
  if (name.code === '_lastUpdated') return parseLastUpdatedClause(name, value, options);
  const parameter = options.definitions.get(type)?.get(name.code);
  return parameter === undefined ? unknown : parseClause(parameter, name, value, options);
}

/** What an issue calls a parameter that is not known here: its name, unless that is none or holds ten digits in a row. */
export function nameParameter(name: string): string {
  return /^[A-Za-z0-9_.:-]{1,64}$/.test(name) && !/(?:\d[_.:-]?){10}/.test(name) ? name : 'http.parameter';
}

type ParseResultParameter = (
  value: string,
  draft: Draft,
  options: ParseSearchOptions,
  iterate: boolean,
) => Problem | undefined;

const resultParameters: Readonly<Record<string, ParseResultParameter>> = {
  _sort: (value, draft, { sorts }) => {
    if (draft.sort !== undefined) return repeated;
    const sort = parseSort(value, sorts);
    if (sort instanceof Problem) return sort;
    draft.sort = sort;
    return undefined;
  },
  _count: (value, draft, { maxCount }) => {
    if (draft.count !== undefined) return repeated;
    const count = parseCount(value, maxCount);
    if (count instanceof Problem) return count;
    draft.count = count;
    return undefined;
  },
  _summary: (value, draft) => {
    if (draft.summary !== undefined) return repeated;
    const summary = parseSummary(value);
    if (summary instanceof Problem) return summary;
    draft.summary = summary;
    return undefined;
  },
  _total: (value, draft) => {
    if (draft.total !== undefined) return repeated;
    const total = parseTotal(value);
    if (total instanceof Problem) return total;
    draft.total = total;
    return undefined;
  },
  _include: (value, draft, options, iterate) => addInclude(draft.include, value, iterate, options.includes, options),
  _revinclude: (value, draft, options, iterate) =>
    addInclude(draft.revinclude, value, iterate, options.revincludes ?? new Set(), options),
  _cursor: (value, draft) => {
    if (draft.cursor !== undefined) return repeated;
    draft.cursor = value;
    return undefined;
  },
};

function addLinked(list: LinkedCriterion[], linked: LinkedCriterion): Problem | undefined {
  if (list.length === maxLinked) return tooManyLinked;
  list.push(linked);
  return undefined;
}

function addInclude(
  list: Include[],
  value: string,
  iterate: boolean,
  allowed: ReadonlySet<string>,
  { iterates, definitions }: ParseSearchOptions,
): Problem | undefined {
  if (list.length === maxIncludes) return tooManyIncludes;
  const all = iterate && iterates !== undefined ? allowed.union(iterates) : allowed;
  const include = parseInclude(value, iterate, all, definitions);
  if (include instanceof Problem) return include;
  list.push(include);
  return undefined;
}

function toIssue(problem: Problem, param: string | undefined): Issue {
  return {
    severity: 'error',
    code: problem.code,
    diagnostics: problem.diagnostics,
    ...defined({ expression: param === undefined ? undefined : [param] }),
  };
}
