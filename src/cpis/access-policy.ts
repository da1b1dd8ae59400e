import { fault } from '../fhir/fault.ts';
import type { SearchClause } from '../fhir/search/ast.ts';
import type { Caller, Permission, Role } from './caller.ts';
import { interactionTable, type TypeInteraction } from './interaction-table.ts';
import { accessHistoryLabel, ownerLabel, viewerLabel } from './labels.ts';
import { type VisibilityRule, visibilityClauses } from './visibility.ts';

/** Types of the conformance resources of this server. They are the same for everybody and concern no patient. */
export const definitionTypes: ReadonlySet<string> = new Set([
  'CapabilityStatement',
  'CodeSystem',
  'OperationDefinition',
  'SearchParameter',
  'StructureDefinition',
  'ValueSet',
]);

type Row = Readonly<Partial<Record<Role, readonly TypeInteraction[]>>>;

const definitionRow: Row = {
  authority: ['read', 'search-type'],
  'care-provider': ['read', 'search-type'],
  operator: ['read', 'search-type'],
  auditor: ['read', 'search-type'],
};

/** Interactions that an authority has on resources of its own. */
const ownResource: readonly TypeInteraction[] = [
  'read',
  'vread',
  'history-instance',
  'history-type',
  'create',
  'update',
  'patch',
  'search-type',
  'validate',
];

/** The access table. A type, interaction or role without an entry is denied. */
export const accessTable: Readonly<Record<string, Row>> = {
  Flag: {
    authority: [...ownResource, 'delete'],
    'care-provider': ['read', 'search-type'],
  },
  Patient: {
    authority: ownResource,
    'care-provider': ['read'],
    operator: ['demographic-conflicts', 'resolve-demographics'],
  },
  Organization: {
    authority: ['read', 'search-type'],
    'care-provider': ['read', 'search-type'],
    operator: ['read', 'search-type', 'replay-deliveries', 'transfer'],
    auditor: ['read', 'search-type'],
  },
  AuditEvent: {
    authority: ['read', 'search-type'],
    'care-provider': ['search-type'],
    auditor: ['read', 'search-type'],
  },
  Subscription: {
    authority: [...ownResource, 'delete', 'status', 'events', 'get-ws-binding-token'],
  },
  ...Object.fromEntries([...definitionTypes].map((type) => [type, definitionRow])),
};

/** Returns true if the access table gives the caller's role this interaction on this type. */
function isGiven(caller: Caller, type: string, interaction: TypeInteraction): boolean {
  const row = Object.hasOwn(accessTable, type) ? accessTable[type] : undefined;
  return row?.[caller.role]?.includes(interaction) === true;
}

/** Returns true if the token's scopes grant the permission. */
function isGranted(caller: Caller, type: string, permission: Permission): boolean {
  return caller.grants.get(type)?.has(permission) === true || caller.grants.get('*')?.has(permission) === true;
}

/**
 * Returns true if `authorise` would accept this caller, except for the professional that it requires of a care
 * provider.
 */
export function mayPerform(caller: Caller, type: string, interaction: TypeInteraction): boolean {
  const { permission } = interactionTable[interaction];
  return isGiven(caller, type, interaction) && (permission === undefined || isGranted(caller, type, permission));
}

/** Throws `not-found` for a type, or `method` for an interaction, that the access table gives to no role. */
export function refuseNotServed(type: string, interaction: TypeInteraction, expression: readonly string[]): void {
  const row = Object.hasOwn(accessTable, type) ? accessTable[type] : undefined;
  if (row === undefined) {
    throw fault('not-found', 'This server does not serve this resource type. /metadata lists those it serves.', {
      code: 'not-supported',
      expression,
    });
  }
  if (!Object.values(row).some((given) => given.includes(interaction))) {
    throw fault(
      'method',
      'This server does not serve this interaction on this resource type. /metadata lists those it serves.',
      { expression },
    );
  }
}

/**
 * Throws `forbidden` unless the access table gives the interaction to the caller's role and the token's scopes grant
 * it. A care provider must also name its professional.
 */
export function authorise(caller: Caller, type: string, interaction: TypeInteraction): void {
  if (!isGiven(caller, type, interaction)) {
    throw fault(
      'forbidden',
      `A client with the role ${caller.role} may not perform ${interaction} on this resource type.`,
    );
  }
  // Definitions need no scope because they are public.
  if (definitionTypes.has(type)) return;
  const { permission } = interactionTable[interaction];
  if (permission !== undefined && !isGranted(caller, type, permission)) {
    const neededScope = `system/${type}.${permission}`;
    throw fault('forbidden', `The access token lacks the scope ${neededScope}. Request a token with this scope.`, {
      neededScope,
    });
  }
  if (caller.role === 'care-provider' && caller.professional === undefined) {
    throw fault(
      'forbidden',
      'The access token names no professional. A care provider needs a token with the IHE IUA claims.',
    );
  }
}

/** Returns true if the token's scopes let the response to a write contain the resource. */
export function mayRead(caller: Caller, type: string): boolean {
  return isGranted(caller, type, 'r');
}

/**
 * Returns the clauses that narrow each search of this caller on a type to the resources it may see. They match nothing
 * if the role has no rule for the type. `predecessors` are the authorities whose plans on the one patient of a search were
 * transferred to the caller's: it also sees their access history.
 */
export function narrow(
  caller: Caller,
  type: string,
  rule: VisibilityRule,
  predecessors: readonly string[] = [],
): readonly SearchClause[] {
  const nothing: readonly SearchClause[] = [{ kind: 'label', any: [] }];
  if (type === 'Organization' || definitionTypes.has(type)) return [];
  if (caller.role === 'authority') {
    const { id } = caller.organisation;
    const own: SearchClause = { kind: 'label', any: [labelFor(type, id)] };
    if (type !== 'AuditEvent' || predecessors.length === 0) return [own];
    return [{ ...own, groups: predecessors.map((each) => [viewerLabel(each), accessHistoryLabel]) }];
  }
  if (caller.role === 'care-provider') {
    if (type === 'Flag') return visibilityClauses(rule);
    if (type === 'AuditEvent') return [{ kind: 'label', any: [accessHistoryLabel] }];
  }
  if (caller.role === 'auditor' && type === 'AuditEvent') return auditedBy(caller);
  return nothing;
}

/** Returns the clauses for what an auditor sees: everything for the operator's, for a trust's what its clients did. */
function auditedBy({ organisation }: Caller): readonly SearchClause[] {
  if (organisation.kind === 'operator') return [];
  return [{ kind: 'reference', param: 'agent', any: [{ kind: 'literal', type: 'Organization', id: organisation.id }] }];
}

/** Returns true if the labels of a resource show it to this authority, when it reads the resource by id. */
export function bearsLabelFor(caller: Caller, type: string, labels: readonly string[]): boolean {
  if (caller.role !== 'authority') return false;
  return labels.includes(labelFor(type, caller.organisation.id));
}

/** Returns the label that shows a resource to an authority: its own, except for AuditEvents, which several may see. */
function labelFor(type: string, authorityId: string): string {
  return type === 'AuditEvent' ? viewerLabel(authorityId) : ownerLabel(authorityId);
}
