import type { SearchsetEntry } from '../fhir/bundle/searchset.ts';
import { renderOperationOutcome } from '../fhir/operation-outcome.ts';

/** Tells a lenient client which search parameters were not understood and had no effect. */
export function renderIgnored(names: readonly string[]): SearchsetEntry {
  const body = renderOperationOutcome(
    names.map((name) => ({
      severity: 'warning',
      code: 'not-supported',
      diagnostics: 'This search parameter is not supported here and was ignored; Prefer: handling=strict refuses it.',
      expression: [/^[A-Za-z0-9_.:-]{1,64}$/.test(name) ? name : 'http.parameter'],
    })),
  );
  return { body, mode: 'outcome' };
}
