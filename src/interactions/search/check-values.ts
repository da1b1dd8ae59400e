import type { SearchParameterDefinitions } from '../../fhir/definitions/search-parameters.ts';
import { fault } from '../../fhir/fault.ts';
import type { SearchClause } from '../../fhir/search/ast.ts';

/**
 * The codes of token parameters whose element has a required binding, by type and parameter. A test compares them with the
 * definitions of R4. https://hl7.org/fhir/R4/terminologies.html#required
 */
export const requiredValues: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  Flag: { status: ['active', 'inactive', 'entered-in-error'] },
  Patient: { gender: ['male', 'female', 'other', 'unknown'] },
  AuditEvent: { action: ['C', 'R', 'U', 'D', 'E'], outcome: ['0', '4', '8', '12'] },
  Subscription: {
    status: ['requested', 'active', 'error', 'off'],
    type: ['rest-hook', 'websocket', 'email', 'sms', 'message'],
  },
};

/** Throws `invalid` for a value that its parameter can never have, because the search would silently find nothing. */
export function refuseUnknownValues(
  type: string,
  clauses: readonly SearchClause[],
  definitions: SearchParameterDefinitions,
): void {
  const values = requiredValues[type];
  if (values === undefined) return;
  for (const clause of clauses) {
    if (clause.kind !== 'token') continue;
    const codes = values[clause.param];
    if (codes === undefined) continue;
    const bound = definitions.get(type)?.get(clause.param)?.system ?? null;
    const isPossible = clause.any.every(
      ({ system, code }) => (code === undefined || codes.includes(code)) && (system === undefined || system === bound),
    );
    if (isPossible) continue;
    const ofSystem = bound === null ? '' : ` of ${bound}`;
    throw fault('invalid', `A value of ${clause.param} must be one of: ${codes.join(', ')}${ofSystem}.`, {
      code: 'value',
      expression: [clause.param],
    });
  }
}
