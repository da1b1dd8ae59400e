/**
 * Declares each interaction and operation of this server, once. The routes, the access table, the scopes and the codes of
 * AuditEvents derive from it. A new row does not compile until it has a route and something that performs it.
 */
import type { Permission } from './caller.ts';

/** Where an operation is invoked, and how. */
interface OperationRule {
  readonly levels: readonly ('type' | 'instance')[];
  /** True if it is also served by GET, with its parameters in the URL, because it changes nothing. */
  readonly byGet: boolean;
}

interface InteractionRule {
  /** `type`: invoked on a resource type or on one of its resources. `system`: invoked on the FHIR base. */
  readonly level: 'type' | 'system';
  /** What the token's scopes must grant. Undefined if the performer authorises each part of the request. */
  readonly permission?: Permission;
  /** `AuditEvent.action`. https://hl7.org/fhir/R4/valueset-audit-event-action.html */
  readonly action: 'C' | 'R' | 'U' | 'D' | 'E';
  /** The profile of IHE BALP that its AuditEvents claim, without the word Patient. */
  readonly balpProfile?: 'Create' | 'Query' | 'Read' | 'Update';
  /** True if its parameters select what is disclosed, so that its AuditEvents hold the request. */
  readonly isQuery?: true;
  /** Undefined for an interaction of FHIR's RESTful API. */
  readonly operation?: OperationRule;
}

const rows = {
  // https://hl7.org/fhir/R4/http.html. A deletion claims no profile of BALP because it may have several custodians.
  read: { level: 'type', permission: 'r', action: 'R', balpProfile: 'Read' },
  vread: { level: 'type', permission: 'r', action: 'R', balpProfile: 'Read' },
  'history-instance': { level: 'type', permission: 'r', action: 'R', isQuery: true },
  'history-type': { level: 'type', permission: 's', action: 'R', isQuery: true },
  create: { level: 'type', permission: 'c', action: 'C', balpProfile: 'Create' },
  update: { level: 'type', permission: 'u', action: 'U', balpProfile: 'Update' },
  patch: { level: 'type', permission: 'u', action: 'U', balpProfile: 'Update' },
  delete: { level: 'type', permission: 'd', action: 'D' },
  'search-type': { level: 'type', permission: 's', action: 'E', balpProfile: 'Query', isQuery: true },
  'history-system': { level: 'system', action: 'R', isQuery: true },
  batch: { level: 'system', action: 'E' },
  transaction: { level: 'system', action: 'E' },
  // https://hl7.org/fhir/R4/resource-operation-validate.html. It is authorised as the write that it tries.
  validate: { level: 'type', action: 'E', operation: { levels: ['type', 'instance'], byGet: false } },
  // http://hl7.org/fhir/uv/subscriptions-backport
  status: { level: 'type', permission: 'r', action: 'E', operation: { levels: ['type', 'instance'], byGet: true } },
  events: { level: 'type', permission: 'r', action: 'E', operation: { levels: ['instance'], byGet: true } },
  'get-ws-binding-token': {
    level: 'type',
    permission: 'r',
    action: 'E',
    operation: { levels: ['type', 'instance'], byGet: true },
  },
  // Defined in profiles/cpis-replay-deliveries.json.
  'replay-deliveries': {
    level: 'type',
    permission: 'u',
    action: 'E',
    operation: { levels: ['instance'], byGet: false },
  },
  // Defined in profiles/cpis-transfer.json.
  transfer: { level: 'type', permission: 'u', action: 'E', operation: { levels: ['instance'], byGet: false } },
  // Defined in profiles/cpis-demographic-conflicts.json and profiles/cpis-resolve-demographics.json.
  'demographic-conflicts': {
    level: 'type',
    permission: 'r',
    action: 'E',
    operation: { levels: ['type'], byGet: true },
  },
  'resolve-demographics': {
    level: 'type',
    permission: 'u',
    action: 'E',
    operation: { levels: ['instance'], byGet: false },
  },
} as const satisfies Readonly<Record<string, InteractionRule>>;

type Rows = typeof rows;

/**
 * Interactions of https://hl7.org/fhir/R4/valueset-type-restful-interaction.html, and operations by the code in their
 * URL.
 */
export type InteractionCode = keyof Rows;
/** Interactions on a resource type, which the access table gives to roles. */
export type TypeInteraction = { [K in InteractionCode]: Rows[K]['level'] extends 'type' ? K : never }[InteractionCode];
/** Interactions on the FHIR base. Bundles are authorised entry by entry. */
export type SystemInteraction = Exclude<InteractionCode, TypeInteraction>;
export type OperationCode = {
  [K in InteractionCode]: Rows[K] extends { operation: object } ? K : never;
}[InteractionCode];

export const interactionTable: Readonly<Record<InteractionCode, InteractionRule>> = rows;

export function isTypeInteraction(code: InteractionCode): code is TypeInteraction {
  return interactionTable[code].level === 'type';
}

export function isOperation(code: InteractionCode): code is OperationCode {
  return interactionTable[code].operation !== undefined;
}

/** Returns true for an interaction that writes the resource it names. */
export function isWrite(code: InteractionCode): boolean {
  const { action } = interactionTable[code];
  return action === 'C' || action === 'U' || action === 'D';
}

/** `AuditEvent.subtype`. */
export type AuditSubtype = Exclude<InteractionCode, OperationCode> | 'operation';

/** Returns the subtype of the AuditEvents of an interaction. */
export function auditSubtypeOf(code: InteractionCode): AuditSubtype {
  return isOperation(code) ? 'operation' : code;
}
