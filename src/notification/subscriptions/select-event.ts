import type { SearchParameterDefinitions } from '../../fhir/definitions/search-parameters.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';
import { extractIndexValues } from '../../fhir/search/extract-index-values.ts';
import { matches } from '../../fhir/search/matches.ts';

/** Takes the JSON text of an AuditEvent and returns a test for the clauses of a Subscription. */
export type SelectEvent = (body: string) => (clauses: readonly SearchClause[]) => boolean;

/**
 * Matches by the search parameters of AuditEvent. Parses the text only if a Subscription has clauses, and extracts
 * values of their parameters only. `baseUrl` as in `ExtractOptions`.
 */
export function selectByCriteria(definitions: SearchParameterDefinitions, baseUrl: string): SelectEvent {
  return (body) => (clauses) => {
    if (clauses.length === 0) return true;
    const event: AuditEventText = JSON.parse(body);
    const params = new Set(clauses.flatMap((clause) => ('param' in clause ? [clause.param] : [])));
    const values = extractIndexValues(event, definitions, { baseUrl, params });
    const lastUpdatedMs = Date.parse(event.meta?.lastUpdated ?? event.recorded);
    return matches(clauses, values, { id: event.id, lastUpdatedMs, labels: [] });
  };
}

interface AuditEventText {
  readonly resourceType: string;
  readonly id: string;
  readonly recorded: string;
  readonly meta?: { readonly lastUpdated?: string };
}
