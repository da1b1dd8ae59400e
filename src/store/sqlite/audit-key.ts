/**
 * The keys under which an AuditEvent is found: one for each reference (`id/Type`, so that any type is a range), with a bit
 * for each search parameter that has it; one for each access label; and one that all events have, in the order of time.
 */
import type { AuditWrite } from '../store.ts';

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

/** All keys with their roles as one JSON object, and which of the reference parameters have a value. */
export function renderAuditKeys(audit: AuditWrite): { readonly keys: string; readonly present: number } {
  const references: string[] = [];
  const roles: number[] = [];
  let present = 0;
  const add = (added: readonly string[], role: number): void => {
    if (added.length > 0) present |= role;
    for (const reference of added) {
      const known = references.indexOf(reference);
      if (known === -1) {
        references.push(reference);
        roles.push(role);
      } else roles[known] = (roles[known] ?? 0) | role;
    }
  };
  add(audit.patients, auditRoles.patient);
  add(audit.agents, auditRoles.agent);
  add(audit.entities, auditRoles.entity);
  let keys = `{"${everyAudit}":0`;
  for (const [at, reference] of references.entries()) {
    const slash = reference.indexOf('/');
    const key = referenceKey(reference.slice(0, slash), reference.slice(slash + 1));
    keys += `,${JSON.stringify(key)}:${roles[at]}`;
  }
  for (const label of new Set(audit.labels)) keys += `,${JSON.stringify(labelKey(label))}:0`;
  return { keys: `${keys}}`, present };
}

/** The access labels among the keys of an event, in the order in which they were given. */
export function labelsOf(keys: string): readonly string[] {
  return Object.keys(JSON.parse(keys) as object)
    .filter((key) => key.startsWith(labelPrefix))
    .map((key) => key.slice(labelPrefix.length));
}
