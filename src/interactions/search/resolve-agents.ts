import { agentKeyTypes, professionalKey } from '../../cpis/access-agents.ts';
import { cpisRoot } from '../../cpis/audit-codes.ts';
import type { Role } from '../../cpis/caller.ts';
import { fault } from '../../fhir/fault.ts';
import type { ReferenceValue, SearchClause } from '../../fhir/search/ast.ts';
import { buildOrganization } from '../../registry/build-organization.ts';
import type { Registry } from '../../registry/registry.ts';

/** The system of client ids in AuditEvents. */
const clientIdSystem = `${cpisRoot}/Id/client-id`;

type Identifier = Extract<ReferenceValue, { kind: 'identifier' }>;

/**
 * Resolves who did what on AuditEvents: `agent:identifier` to the organisation, client or professional that has it, and
 * `agent-name` to the professionals whose name starts with it. An authority does not search by client, because it is not
 * shown the clients of others.
 */
export function resolveAgents(
  clauses: readonly SearchClause[],
  registry: Registry,
  role: Role | undefined,
): readonly SearchClause[] {
  return clauses.map((clause) => {
    if (clause.kind === 'string' && clause.param === 'agent-name') {
      if (clause.match !== 'starts') {
        throw fault('not-supported', 'agent-name matches the beginning of a name, without a modifier.', {
          expression: [`agent-name:${clause.match}`],
        });
      }
      const any = clause.any.map((id) => ({ kind: 'literal', type: agentKeyTypes.name, id, isPrefix: true }) as const);
      return { kind: 'reference', param: 'agent', any };
    }
    if (clause.kind !== 'reference' || clause.param !== 'agent') return clause;
    const any = clause.any.flatMap((value): readonly ReferenceValue[] => {
      if (value.kind === 'identifier') return identify(value, registry, role);
      // No AuditEvent refers to another type of agent.
      return value.type === undefined || value.type === 'Organization' ? [value] : [];
    });
    return any.length === 0 ? { kind: 'label', any: [] } : { ...clause, any };
  });
}

function identify({ system, value }: Identifier, registry: Registry, role: Role | undefined): ReferenceValue[] {
  const found: ReferenceValue[] = [];
  for (const organisation of registry.organisations.values()) {
    const { identifier } = buildOrganization(organisation, registry.revision);
    const isNamed = identifier.some((each) => each.value === value && (system === undefined || each.system === system));
    if (isNamed) found.push({ kind: 'literal', type: 'Organization', id: organisation.id });
  }
  if (role === 'auditor' && (system === undefined || system === clientIdSystem)) {
    found.push({ kind: 'literal', type: agentKeyTypes.client, id: value });
  }
  const { professional: type } = agentKeyTypes;
  if (system === undefined) found.push({ kind: 'literal', type, id: `${value}|`, isPrefix: true });
  else found.push({ kind: 'literal', type, id: professionalKey(value, system ?? undefined) });
  return found;
}
