/** Parses search requests into the AST. https://hl7.org/fhir/R4/search.html */
import { defined } from '../defined.ts';
import { FhirFault, fault, type Issue } from '../fault.ts';
import { applyResultParameter, isResultParameter, type ResultDraft } from './apply-result-parameter.ts';
import type { LinkedCriterion, SearchClause, SearchQuery } from './ast.ts';
import { parseClause, parseIdClause, parseLastUpdatedClause } from './clause.ts';
import { parseChained, parseReverse } from './linked-criterion.ts';
import { leadingCode, nameParameter, type ParameterName, parseParameterName } from './parameter-name.ts';
import { Problem } from './problem.ts';
import type { ParseSearchOptions } from './search-options.ts';

const maxParameters = 50;
const maxLinked = 5;

const malformed = new Problem('invalid', 'The name is not a valid search parameter name.');
const unknown = new Problem('not-supported', 'The search parameter is not supported.');
const refused = new Problem('not-supported', 'This search parameter is not supported, and cannot be ignored.');
const noModifier = new Problem('not-supported', 'The modifier is not supported for this parameter.');
const tooManyLinked = new Problem('too-costly', `A search may have at most ${maxLinked} chains and _has parameters.`);

/** Criteria that are refused under lenient handling too, because ignoring them would widen the search. */
const refusedAlways = new Set(['_text', '_content', '_query', '_filter', '_list']);

interface Draft extends ResultDraft {
  readonly clauses: SearchClause[];
  readonly linked: LinkedCriterion[];
  readonly applied: (readonly [name: string, value: string])[];
  readonly ignored: string[];
  readonly issues: Issue[];
}

/**
 * Parses the decoded name-value pairs of a search of `type`. Skips `_format` and `_pretty`. Throws FhirFault with an
 * issue for each problem; `expression` is the name of the parameter. Unsupported modifiers, chains and values of result
 * parameters are refused under lenient handling too.
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
    draft.issues.push(toIssue(malformed, options.allowed.has(code) || isResultParameter(code) ? code : undefined));
    return;
  }
  const outcome = interpret(type, name, value, options, draft);
  if (outcome === undefined) {
    // The self link shows the applied values, so a `_count` that was lowered is shown lowered.
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
  if (!isResultParameter(code)) return unknown;
  const iterate = name.modifier === 'iterate' && (code === '_include' || code === '_revinclude');
  if ((name.modifier !== undefined && !iterate) || name.chain !== undefined) return noModifier;
  return applyResultParameter(code, value, draft, options, iterate);
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

function addLinked(list: LinkedCriterion[], linked: LinkedCriterion): Problem | undefined {
  if (list.length === maxLinked) return tooManyLinked;
  list.push(linked);
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
