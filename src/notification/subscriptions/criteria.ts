import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { SearchClause, SearchQuery } from '../../fhir/search/ast.ts';

/** Parses a search strictly: throws FhirFault for an unknown parameter. */
export type ParseSearch = (type: string, params: readonly (readonly [name: string, value: string])[]) => SearchQuery;

export type Criteria =
  | { readonly kind: 'criteria'; readonly clauses: readonly SearchClause[] }
  | { readonly kind: 'refused'; readonly issues: readonly Issue[] };

const expression = ['Subscription.criteria'];

/**
 * Reads `Subscription.criteria`: `AuditEvent` or `AuditEvent?<parameters>`, without the server's base. Refuses
 * parameters that shape a result (`_sort`, `_count`, `_include`, `_summary`, `_cursor`), because they select no events.
 */
export function parseCriteria(criteria: unknown, parseSearch: ParseSearch): Criteria {
  const refused = (diagnostics: string): Criteria => ({
    kind: 'refused',
    issues: fault('unprocessable', diagnostics, { code: 'not-supported', expression }).issues,
  });
  const parts = typeof criteria === 'string' ? /^AuditEvent(?:\?(.*))?$/s.exec(criteria) : null;
  if (parts === null) return refused('The criteria must be "AuditEvent" or "AuditEvent?parameter=value".');
  try {
    const query = parseSearch('AuditEvent', [...new URLSearchParams(parts[1] ?? '')]);
    const { clauses, sort, count, summary, include, cursor, ignored } = query;
    const shaped = sort.length + include.length + ignored.length > 0;
    if (shaped || count !== undefined || summary !== undefined || cursor !== undefined) {
      return refused('The criteria contain a parameter that does not select events. Remove it.');
    }
    return { kind: 'criteria', clauses };
  } catch (error) {
    if (!(error instanceof FhirFault)) throw error;
    return { kind: 'refused', issues: error.issues.map((issue) => ({ ...issue, expression })) };
  }
}
