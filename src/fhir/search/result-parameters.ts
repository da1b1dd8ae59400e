/** Parameters that shape the result rather than select it. https://hl7.org/fhir/R4/search.html#return */
import type { SearchParameterDefinitions } from '../definitions/search-parameters.ts';
import type { Include, SortKey, TotalMode } from './ast.ts';
import { Problem } from './problem.ts';

const countPattern = /^\d{1,9}$/;
const badCount = new Problem('invalid', 'The value is not a whole number from 0 to 999999999.');
const badSummary = new Problem('not-supported', 'Only count and false are supported.');
const badTotal = new Problem('invalid', 'The value is none, estimate or accurate.');
const badSort = new Problem('not-supported', 'This cannot be sorted by; see the CapabilityStatement.');
const sortTwice = new Problem('invalid', 'A sort key occurs twice.');
const badInclude = new Problem('not-supported', 'This cannot be included; see the CapabilityStatement.');

/** The page size, at most `maxCount`. */
export function parseCount(text: string, maxCount: number): number | Problem {
  return countPattern.test(text) ? Math.min(Number(text), maxCount) : badCount;
}

/** `false` asks for whole resources, as no `_summary` does. */
export function parseSummary(text: string): 'count' | 'false' | Problem {
  return text === 'count' || text === 'false' ? text : badSummary;
}

/** https://hl7.org/fhir/R4/search.html#total */
export function parseTotal(text: string): TotalMode | Problem {
  return text === 'none' || text === 'estimate' || text === 'accurate' ? text : badTotal;
}

/** `a,-b`: each key one of `sorts`, a `-` for descending. */
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

/** `Source:param` or `Source:param:Target`, where `includes` holds `Source:param`; of `_include` and `_revinclude`. */
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
