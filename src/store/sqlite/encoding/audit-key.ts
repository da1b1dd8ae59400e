/**
 * The keys under which an AuditEvent is found: one for each reference (`id/Type`, so that any type is a range), with a bit
 * for each search parameter that has it; one for each access label; and one that all events have, in the order of time.
 */
import type { AuditWrite } from '../../audit-write.ts';

/** The reference parameters of AuditEvent; the bit of each in `audit_key.roles` and `audit.present`. */
export const auditRoles = { patient: 1, agent: 2, entity: 4 } as const;

/** The key of all events. */
export const everyAudit = '*';

const labelPrefix = 'l:';

/** The key of a literal reference. */
export function referenceKey(type: string, id: string): string {
  return `r:${id}/${type}`;
}

/** The key of an access label. */
export function labelKey(label: string): string {
  return `${labelPrefix}${label}`;
}

/** Whether a key is that of a label, or of all events: their rows in audit_key carry the event's codes. */
export function carriesCodes(key: string): boolean {
  return !key.startsWith('r:');
}

const renderMember = (key: string): string => `,${JSON.stringify(key)}:`;

function keyOfReference(reference: string): string {
  const slash = reference.indexOf('/');
  return referenceKey(reference.slice(0, slash), reference.slice(slash + 1));
}

const maxMembers = 5_000;

/** `renderMember` of what stands in many events, kept. */
function keepMembers(keyOf: (of: string) => string): (of: string) => string {
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

const labelMember = keepMembers(labelKey);
const organizationMember = keepMembers(keyOfReference);

/** All keys with their roles as one JSON object, and which of the reference parameters have a value. */
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
    const isOrganization = reference.startsWith('Organization/');
    keys += (isOrganization ? organizationMember(reference) : renderMember(keyOfReference(reference))) + role;
  }
  for (const [at, label] of labels.entries()) if (labels.indexOf(label) === at) keys += `${labelMember(label)}0`;
  return { keys: `${keys}}`, present };
}

/** The keys of an event with their roles, as `renderAuditKeys` gives them. */
export function parseAuditKeys(keys: string): readonly (readonly [key: string, roles: number])[] {
  // Members that no other event has make JSON.parse slow.
  if (keys.includes('\\')) return Object.entries(JSON.parse(keys) as Readonly<Record<string, number>>);
  const parsed: [string, number][] = [];
  const parts = keys.split('"');
  for (let at = 1; at + 1 < parts.length; at += 2) {
    parsed.push([parts[at] ?? '', Number.parseInt((parts[at + 1] ?? '').slice(1), 10)]);
  }
  return parsed;
}

/** The access labels among the keys of an event, in the order in which they were given. */
export function labelsOf(keys: string): readonly string[] {
  return parseAuditKeys(keys).flatMap(([key]) => (key.startsWith(labelPrefix) ? [key.slice(labelPrefix.length)] : []));
}
