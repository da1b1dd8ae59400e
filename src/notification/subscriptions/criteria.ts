import { FhirFault, fault, type Issue } from '../../fhir/fault.ts';
import type { SearchClause, SearchQuery } from '../../fhir/search/ast.ts';

/** The search parser, strict: unknown parameters are faults. Throws FhirFault. */
export type ParseSearch = (type: string, params: readonly (readonly [name: string, value: string])[]) => SearchQuery;

export type Criteria =
  | { readonly kind: 'criteria'; readonly clauses: readonly SearchClause[] }
  | { readonly kind: 'refused'; readonly issues: readonly Issue[] };

const expression = ['Subscription.criteria'];

/**
 * Reads `Subscription.criteria`: `AuditEvent` or `AuditEvent?<parameters>`, without the server's base. Parameters that
 * shape a result (`_sort`, `_count`, `_include`, `_summary`, `_cursor`) do not select events, and are refused.
 */
export function parseCriteria(criteria: unknown, parseSearch: ParseSearch): Criteria {
  const refused = (diagnostics: string): Criteria => ({
    kind: 'refused',
    issues: fault('unprocessable', diagnostics, { code: 'not-supported', expression }).issues,
  });
  const parts = typeof criteria === 'string' ? /^AuditEvent(?:\?(.*))?$/s.exec(criteria) : null;
  if (parts === null) return refused('Subscriptions are served for AuditEvent: "AuditEvent?parameter=value".');
  try {
    const query = parseSearch('AuditEvent', [...new URLSearchParams(parts[1] ?? '')]);
    const { clauses, sort, count, summary, include, cursor, ignored } = query;
    const shaped = sort.length + include.length + ignored.length > 0;
    if (shaped || count !== undefined || summary !== undefined || cursor !== undefined) {
      return refused('The criteria have a parameter that does not select events.');
    }
    return { kind: 'criteria', clauses };
  } catch (error) {
    if (!(error instanceof FhirFault)) throw error;
    return { kind: 'refused', issues: error.issues.map((issue) => ({ ...issue, expression })) };
  }
}
