import type { SearchsetEntry } from '../../fhir/bundle/searchset.ts';
import { renderOperationOutcome } from '../../fhir/operation-outcome.ts';
import { nameParameter } from '../../fhir/search/parameter-name.ts';

/** Renders the warnings for search parameters that were ignored under lenient handling. */
export function renderIgnored(names: readonly string[]): SearchsetEntry {
  const body = renderOperationOutcome(
    names.map((name) => ({
      severity: 'warning',
      code: 'not-supported',
      diagnostics:
        'This search parameter is not supported and was ignored. With Prefer: handling=strict the search would be refused.',
      expression: [nameParameter(name)],
    })),
  );
  return { body, mode: 'outcome' };
}
