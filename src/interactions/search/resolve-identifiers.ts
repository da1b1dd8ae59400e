import { invalidNhsNumber, isNhsNumber, nhsNumberSystem } from '../../cpis/nhs-number.ts';
import { patientParameters } from '../../fhir/patient-compartment.ts';
import type { ReferenceValue, SearchClause } from '../../fhir/search/ast.ts';
import { buildOrganization } from '../../registry/build-organization.ts';
import type { Registry } from '../../registry/registry.ts';

const recordTypes = ['Patient', 'Flag', 'Subscription', 'AuditEvent'];

/**
 * Resolves identifiers in clauses to literal references. Patients are identified by their NHS number, which is checked:
 * `patient:identifier=` and `patient.identifier=` mean the same as the reference. Identifiers of organisations are
 * looked up in the registry. Throws INVALID_NHS_NUMBER.
 */
export function resolveIdentifiers(
  type: string,
  clauses: readonly SearchClause[],
  registry: Registry,
): readonly SearchClause[] {
  return clauses.map((clause) => {
    if (clause.kind === 'token' && type === 'Patient' && clause.param === 'identifier') {
      for (const { system, code } of clause.any) {
        if (system === nhsNumberSystem && code !== undefined && !isNhsNumber(code))
          throw invalidNhsNumber('identifier');
      }
      return clause;
    }
    if (clause.kind !== 'reference') return clause;
    const any = clause.any.flatMap((value) =>
      patientParameters.has(clause.param)
        ? resolvePatient(value, clause.param)
        : resolveOrganisation(value, type, clause.param, registry),
    );
    return any.length === 0 ? { kind: 'label', any: [] } : { ...clause, any };
  });
}

function resolvePatient(value: ReferenceValue, param: string): ReferenceValue[] {
  if (value.kind === 'literal') {
    if (value.type !== undefined && value.type !== 'Patient') return [];
    if (!isNhsNumber(value.id)) throw invalidNhsNumber(param);
    return value.type === undefined ? [{ ...value, type: 'Patient' }] : [value];
  }
  if (value.system !== undefined && value.system !== nhsNumberSystem) return [];
  if (!isNhsNumber(value.value)) throw invalidNhsNumber(param);
  return [{ kind: 'literal', type: 'Patient', id: value.value }];
}

function resolveOrganisation(value: ReferenceValue, type: string, param: string, registry: Registry): ReferenceValue[] {
  if (value.kind === 'literal') {
    if (param === 'entity' && value.type === 'Patient' && !isNhsNumber(value.id)) throw invalidNhsNumber(param);
    if (value.type !== undefined || type !== 'AuditEvent') return [value];
    // Expand a bare id to the types that AuditEvents refer to, so that it is found by exact keys.
    const types = param === 'agent' || registry.organisations.has(value.id) ? ['Organization'] : recordTypes;
    return types.map((each) => ({ ...value, type: each }));
  }
  const found: ReferenceValue[] = [];
  for (const organisation of registry.organisations.values()) {
    const named = buildOrganization(organisation, registry.revision).identifier.some(
      (identifier) =>
        identifier.value === value.value && (value.system === undefined || identifier.system === value.system),
    );
    if (named) found.push({ kind: 'literal', type: 'Organization', id: organisation.id });
  }
  return found;
}
