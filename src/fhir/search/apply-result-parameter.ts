import type { Include, SortKey, TotalMode } from './ast.ts';
import { Problem } from './problem.ts';
import { parseCount, parseInclude, parseSort, parseSummary, parseTotal } from './result-parameters.ts';
import type { ParseSearchOptions } from './search-options.ts';
import { checkText } from './values.ts';

/** The result parameters of a search that is being parsed. */
export interface ResultDraft {
  readonly include: Include[];
  readonly revinclude: Include[];
  sort: readonly SortKey[] | undefined;
  count: number | undefined;
  summary: 'count' | 'false' | undefined;
  total: TotalMode | undefined;
  cursor: string | undefined;
}

const maxIncludes = 10;
const maxValueLength = 1024;
const maxCursorLength = 8192;

const repeated = new Problem('invalid', 'The parameter may occur only once.');
const tooManyIncludes = new Problem('too-costly', `A search may have at most ${maxIncludes} of this parameter.`);

type Apply = (value: string, draft: ResultDraft, options: ParseSearchOptions, iterate: boolean) => Problem | undefined;

const parameters: ReadonlyMap<string, Apply> = new Map<string, Apply>([
  ['_sort', (value, draft, { sorts }) => setOnce(draft, 'sort', () => parseSort(value, sorts))],
  ['_count', (value, draft, { maxCount }) => setOnce(draft, 'count', () => parseCount(value, maxCount))],
  ['_summary', (value, draft) => setOnce(draft, 'summary', () => parseSummary(value))],
  ['_total', (value, draft) => setOnce(draft, 'total', () => parseTotal(value))],
  ['_cursor', (value, draft) => setOnce(draft, 'cursor', () => value)],
  [
    '_include',
    (value, draft, options, iterate) => addInclude(draft.include, value, iterate, options.includes, options),
  ],
  [
    '_revinclude',
    (value, draft, options, iterate) =>
      addInclude(draft.revinclude, value, iterate, options.revincludes ?? new Set(), options),
  ],
]);

/** Returns whether `code` is a result parameter, such as `_count`. */
export function isResultParameter(code: string): boolean {
  return parameters.has(code);
}

/** Parses a result parameter and sets it in the draft. Returns a problem if the value is refused. */
export function applyResultParameter(
  code: string,
  value: string,
  draft: ResultDraft,
  options: ParseSearchOptions,
  iterate: boolean,
): Problem | undefined {
  const problem = checkText(value, code === '_cursor' ? maxCursorLength : maxValueLength);
  return problem ?? parameters.get(code)?.(value, draft, options, iterate);
}

function setOnce<K extends Exclude<keyof ResultDraft, 'include' | 'revinclude'>>(
  draft: ResultDraft,
  key: K,
  parse: () => ResultDraft[K] | Problem,
): Problem | undefined {
  if (draft[key] !== undefined) return repeated;
  const value = parse();
  if (value instanceof Problem) return value;
  draft[key] = value;
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
