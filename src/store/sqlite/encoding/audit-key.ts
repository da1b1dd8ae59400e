/**
 * The search keys of an AuditEvent. Each reference is a key (`id/Type`, so that an id of any type is a range), and
 * the row has one bit for each search parameter that contains the reference. Each access label is a key. All events share one key, whose rows are in order of time.
 */
import type { AuditWrite } from '../../audit-write.ts';

/** The bit of each reference parameter in `audit_key.roles` and `audit.present`. */
export const auditRoles = { patient: 1, agent: 2, entity: 4 } as const;

/** The key that all events share. */
export const everyAudit = '*';

const labelPrefix = 'l:';

/** Returns the key of a literal reference. */
export function referenceKey(type: string, id: string): string {
  return `r:${id}/${type}`;
}

/** Returns the key of an access label. */
export function labelKey(label: string): string {
  return `${labelPrefix}${label}`;
}

/**
 * Returns whether index rows of this key repeat the event's type, subtype, action and outcome. Rows of labels and of the
 * shared key do.
 */
export function carriesCodes(key: string): boolean {
  return !key.startsWith('r:');
}

const renderMember = (key: string): string => `,${JSON.stringify(key)}:`;

function keyOfReference(reference: string): string {
  const slash = reference.indexOf('/');
  return referenceKey(reference.slice(0, slash), reference.slice(slash + 1));
}

const maxMembers = 5_000;

/** Renders members and caches them, for keys that many events have. */
function cacheMembers(keyOf: (of: string) => string): (of: string) => string {
  const members = new Map<string, string>();
  return (of) => {
    const known = members.get(of);
    if (known !== undefined) return known;
    if (members.size === maxMembers) members.clear();
    const member = renderMember(keyOf(of));
    members.set(of, member);
    return member;
  };
}

const labelMember = cacheMembers(labelKey);
const agentMember = cacheMembers(keyOfReference);

/** Returns all keys with their roles as one JSON object, and the bits of the reference parameters that have a value. */
export function renderAuditKeys(audit: AuditWrite): { readonly keys: string; readonly present: number } {
  const { patients, agents, entities, labels } = audit;
  const roles = new Map<string, number>();
  let present = 0;
  const add = (references: readonly string[], role: number): void => {
    if (references.length > 0) present |= role;
    for (const reference of references) roles.set(reference, (roles.get(reference) ?? 0) | role);
  };
  add(patients, auditRoles.patient);
  add(agents, auditRoles.agent);
  add(entities, auditRoles.entity);
  let keys = `{"${everyAudit}":0`;
  for (const [reference, role] of roles) {
    // Few agents make most accesses.
    const isAgent = (role & auditRoles.agent) !== 0;
    keys += (isAgent ? agentMember(reference) : renderMember(keyOfReference(reference))) + role;
  }
  for (const [at, label] of labels.entries()) if (labels.indexOf(label) === at) keys += `${labelMember(label)}0`;
  return { keys: `${keys}}`, present };
}

/** Parses the keys that `renderAuditKeys` returns. */
export function parseAuditKeys(keys: string): readonly (readonly [key: string, roles: number])[] {
  // JSON.parse is slow for objects whose member names are unique.
  if (keys.includes('\\')) return Object.entries(JSON.parse(keys) as Readonly<Record<string, number>>);
  const parsed: [string, number][] = [];
  const parts = keys.split('"');
  for (let at = 1; at + 1 < parts.length; at += 2) {
    parsed.push([parts[at] ?? '', Number.parseInt((parts[at + 1] ?? '').slice(1), 10)]);
  }
  return parsed;
}

/** Returns the access labels among the keys of an event, in their original order. */
export function labelsOf(keys: string): readonly string[] {
  return parseAuditKeys(keys).flatMap(([key]) => (key.startsWith(labelPrefix) ? [key.slice(labelPrefix.length)] : []));
}
