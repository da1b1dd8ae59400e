import { fault } from '../fhir/fault.ts';
import type { SearchClause } from '../fhir/search/ast.ts';
import type { Caller, Permission, Role } from './caller.ts';
import { interactionTable, type TypeInteraction } from './interaction-table.ts';
import { accessHistoryLabel, ownerLabel, viewerLabel } from './labels.ts';
import { visibilityClauses } from './visibility.ts';

/** The conformance resources of this server: the same for everybody, about no patient. */
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
};

/** What an authority does with resources of its own. */
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

/**
 * The access table. Everything that is not listed is denied: a type, an interaction or a role without an entry does not
 * answer.
 */
export const accessTable: Readonly<Record<string, Row>> = {
  Flag: {
    authority: [...ownResource, 'delete'],
    'care-provider': ['read', 'search-type'],
  },
  Patient: {
    authority: ownResource,
    'care-provider': ['read'],
  },
  Organization: {
    authority: ['read', 'search-type'],
    'care-provider': ['read', 'search-type'],
    operator: ['read', 'search-type', 'replay-deliveries'],
  },
  AuditEvent: {
    authority: ['read', 'search-type'],
    'care-provider': ['search-type'],
  },
  Subscription: {
    authority: [...ownResource, 'delete', 'status', 'events', 'get-ws-binding-token'],
  },
  ...Object.fromEntries([...definitionTypes].map((type) => [type, definitionRow])),
};

/** Whether the caller's role is given this interaction on this type. */
function isGiven(caller: Caller, type: string, interaction: TypeInteraction): boolean {
  const row = Object.hasOwn(accessTable, type) ? accessTable[type] : undefined;
  return row?.[caller.role]?.includes(interaction) === true;
}

/** Whether the token's scopes cover it. */
function isGranted(caller: Caller, type: string, permission: Permission): boolean {
  return caller.grants.get(type)?.has(permission) === true || caller.grants.get('*')?.has(permission) === true;
}

/** Whether `authorise` would let an authority or operator pass. */
export function mayPerform(caller: Caller, type: string, interaction: TypeInteraction): boolean {
  const { permission } = interactionTable[interaction];
  return isGiven(caller, type, interaction) && (permission === undefined || isGranted(caller, type, permission));
}

/** Throws 404 for a type, 405 for an interaction on it, that no role is given, at the `expression` that asks for it. */
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

/** Throws 403 unless the caller's role is given this interaction on this type and the token's scopes cover it. */
export function authorise(caller: Caller, type: string, interaction: TypeInteraction): void {
  if (!isGiven(caller, type, interaction)) {
    throw fault(
      'forbidden',
      `A client with the role ${caller.role} may not perform ${interaction} on this resource type.`,
    );
  }
  // What whoever can reach the server could read in its source needs no scope.
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

/** Whether the token's scopes let a write answer with the resource. */
export function mayRead(caller: Caller, type: string): boolean {
  return isGranted(caller, type, 'r');
}

export interface VisibilityRule {
  /** The date in Europe/London, `YYYY-MM-DD`. */
  readonly today: string;
  readonly endedPlanVisibleMonths: number;
}

/**
 * The clauses that narrow every search of this caller on a type to what it may see. A type without a rule for the
 * role is narrowed to nothing.
 */
export function narrow(caller: Caller, type: string, rule: VisibilityRule): readonly SearchClause[] {
  const nothing: readonly SearchClause[] = [{ kind: 'label', any: [] }];
  if (type === 'Organization' || definitionTypes.has(type)) return [];
  if (caller.role === 'authority') {
    if (type === 'Flag' || type === 'Subscription')
      return [{ kind: 'label', any: [ownerLabel(caller.organisation.id)] }];
    if (type === 'Patient' || type === 'AuditEvent') {
      return [{ kind: 'label', any: [viewerLabel(caller.organisation.id)] }];
    }
    return nothing;
  }
  if (caller.role === 'care-provider') {
    if (type === 'Flag') return visibilityClauses(rule.today, rule.endedPlanVisibleMonths);
    if (type === 'AuditEvent') return [{ kind: 'label', any: [accessHistoryLabel] }];
  }
  return nothing;
}

/** Whether an authority may see a resource that bears these labels, when it is read by its id. */
export function bearsLabelFor(caller: Caller, type: string, labels: readonly string[]): boolean {
  if (caller.role !== 'authority') return false;
  const id = caller.organisation.id;
  return labels.includes(type === 'Flag' || type === 'Subscription' ? ownerLabel(id) : viewerLabel(id));
}
