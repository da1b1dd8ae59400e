/** Parses the parameters that control the result. https://hl7.org/fhir/R4/search.html#return */
import type { SearchParameterDefinitions } from '../definitions/search-parameters.ts';
import type { Include, SortKey, TotalMode } from './ast.ts';
import { Problem } from './problem.ts';

const countPattern = /^\d{1,9}$/;
const badCount = new Problem('invalid', 'The value must be a whole number from 0 to 999999999.');
const badSummary = new Problem('not-supported', 'The value must be count or false.');
const badTotal = new Problem('invalid', 'The value must be none, estimate or accurate.');
const badSort = new Problem(
  'not-supported',
  'Sorting by this parameter is not supported. See the CapabilityStatement.',
);
const sortTwice = new Problem('invalid', 'A sort key occurs twice.');
const badInclude = new Problem('not-supported', 'This include is not supported. See the CapabilityStatement.');

/** Parses the page size and lowers it to `maxCount`. */
export function parseCount(text: string, maxCount: number): number | Problem {
  return countPattern.test(text) ? Math.min(Number(text), maxCount) : badCount;
}

/** Parses `_summary`. `false` requests complete resources, as no `_summary` does. */
export function parseSummary(text: string): 'count' | 'false' | Problem {
  return text === 'count' || text === 'false' ? text : badSummary;
}

/** Parses `_total`. https://hl7.org/fhir/R4/search.html#total */
export function parseTotal(text: string): TotalMode | Problem {
  return text === 'none' || text === 'estimate' || text === 'accurate' ? text : badTotal;
}

/** Parses `a,-b`. Each key must be in `sorts`; a `-` means descending. */
export function parseSort(text: string, sorts: ReadonlySet<string>): readonly SortKey[] | Problem {
  const keys: SortKey[] = [];
  for (const part of text.split(',')) {
    const descending = part.startsWith('-');
    const param = descending ? part.slice(1) : part;
    if (!sorts.has(param)) return badSort;
    if (keys.some((key) => key.param === param)) return sortTwice;
    keys.push({ param, descending });
  }
  return keys;
}

/**
 * Parses `Source:param` or `Source:param:Target` of `_include` or `_revinclude`. `includes` must hold `Source:param`.
 */
export function parseInclude(
  text: string,
  iterate: boolean,
  includes: ReadonlySet<string>,
  definitions: SearchParameterDefinitions,
): Include | Problem {
  const [source = '', param = '', target, ...rest] = text.split(':');
  if (rest.length > 0 || !includes.has(`${source}:${param}`)) return badInclude;
  if (target === undefined) return { source, param, iterate };
  const targets = definitions.get(source)?.get(param)?.targets ?? [];
  return targets.includes(target) ? { source, param, target, iterate } : badInclude;
}
