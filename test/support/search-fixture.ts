import { loadSearchParameters } from '../../src/fhir/definitions/search-parameters.ts';
import { FhirFault } from '../../src/fhir/fault.ts';
import type { SearchClause, SearchQuery } from '../../src/fhir/search/ast.ts';
import { parseSearch } from '../../src/fhir/search/parse-search.ts';
import type { ParseSearchOptions } from '../../src/fhir/search/search-options.ts';

export const baseUrl = 'https://cpis.example.org/FHIR/R4';

export const definitions = loadSearchParameters(new URL('../../profiles', import.meta.url).pathname);

/** Every defined parameter of the type is served. */
export function optionsFor(type: string, changes: Partial<ParseSearchOptions> = {}): ParseSearchOptions {
  return {
    definitions,
    allowed: new Set(['_id', '_lastUpdated', ...(definitions.get(type)?.keys() ?? [])]),
    handling: 'strict',
    baseUrl,
    maxCount: 100,
    includes: new Set(['Flag:author', 'Flag:patient', 'Flag:subject']),
    sorts: new Set(['_id', '_lastUpdated', 'date', 'status']),
    ...changes,
  };
}

type Pairs = readonly (readonly [string, string])[];

export function parse(type: string, params: Pairs, changes: Partial<ParseSearchOptions> = {}): SearchQuery {
  return parseSearch(type, params, optionsFor(type, changes));
}

/** The one clause of one parameter. */
export function clauseOf(type: string, name: string, value: string): SearchClause {
  const { clauses } = parse(type, [[name, value]]);
  const [clause] = clauses;
  if (clause === undefined || clauses.length !== 1) throw new Error('expected one clause');
  return clause;
}

/** The fault of a search that must be refused. */
export function refusalOf(type: string, params: Pairs, changes: Partial<ParseSearchOptions> = {}): FhirFault {
  try {
    parse(type, params, changes);
  } catch (error) {
    if (error instanceof FhirFault) return error;
    throw error;
  }
  throw new Error('expected a refusal');
}

/** Writes a value so that it is one value of a search URL. */
export function escapeValue(plain: string): string {
  return plain.replace(/[,|$\\]/g, '\\$&');
}
