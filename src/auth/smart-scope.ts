/**
 * SMART App Launch 2 scopes at system level, such as `system/Flag.rs`. The v1 forms `.read`, `.write` and `.*` mean
 * `.rs`, `.cud` and `.cruds`. Scopes at patient or user level, and scopes with a query, are not supported.
 * https://hl7.org/fhir/smart-app-launch/STU2.2/scopes-and-launch-context.html
 */
import type { Permission } from '../cpis/caller.ts';

export type Grants = ReadonlyMap<string, ReadonlySet<Permission>>;

interface SmartScope {
  /** Resource type, or `*`. */
  readonly type: string;
  readonly permissions: readonly Permission[];
}

const order = ['c', 'r', 'u', 'd', 's'] as const satisfies readonly Permission[];
const v1Permissions: Readonly<Record<string, string>> = { read: 'rs', write: 'cud', '*': 'cruds' };
const form = /^system\/(\*|[A-Z][A-Za-z]{1,63})\.(read|write|\*|(?=[cruds])c?r?u?d?s?)$/;
const maxScopeLength = 4000;
const maxScopes = 100;

/** Parses a scope. Returns undefined if it is not supported. */
export function parseScope(text: string): SmartScope | undefined {
  const [, type, suffix] = form.exec(text) ?? [];
  if (type === undefined || suffix === undefined) return undefined;
  const letters = v1Permissions[suffix] ?? suffix;
  return { type, permissions: order.filter((permission) => letters.includes(permission)) };
}

/** Splits a `scope` parameter or claim (RFC 6749 section 3.3). Returns undefined if it is too long. */
export function splitScopes(text: string): readonly string[] | undefined {
  const scopes = text.split(' ').filter((scope) => scope !== '');
  return text.length > maxScopeLength || scopes.length > maxScopes ? undefined : scopes;
}

/**
 * Returns the permissions that are both requested and registered, by type. A wildcard on either side covers every type.
 * Unsupported scopes grant nothing.
 */
export function intersectScopes(requested: readonly string[], registered: readonly string[]): Grants {
  const asked = grantsOf(requested);
  const allowed = grantsOf(registered);
  const grants = new Map<string, ReadonlySet<Permission>>();
  for (const type of new Set([...asked.keys(), ...allowed.keys()])) {
    const both = effective(asked, type).intersection(effective(allowed, type));
    if (both.size > 0) grants.set(type, both);
  }
  return grants;
}

/** Formats grants as the `scope` of a token, in a fixed order. */
export function formatGrants(grants: Grants): string {
  return [...grants]
    .map(([type, granted]) => `system/${type}.${order.filter((permission) => granted.has(permission)).join('')}`)
    .sort()
    .join(' ');
}

function grantsOf(scopes: readonly string[]): Grants {
  const grants = new Map<string, Set<Permission>>();
  for (const text of scopes) {
    const scope = parseScope(text);
    if (scope === undefined) continue;
    const granted = grants.get(scope.type) ?? new Set<Permission>();
    for (const permission of scope.permissions) granted.add(permission);
    grants.set(scope.type, granted);
  }
  return grants;
}

function effective(grants: Grants, type: string): ReadonlySet<Permission> {
  const own = grants.get(type) ?? new Set<Permission>();
  return new Set([...own, ...(grants.get('*') ?? [])]);
}
