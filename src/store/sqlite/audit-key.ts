/** The keys under which an AuditEvent is found: a prefix for what it is, then `id/Type`, so that any type is a range. */
import type { AuditWrite } from '../store.ts';

/** The reference parameters of AuditEvent; `bit` is its flag in `audit.present`. */
export const auditReferences = {
  patient: { prefix: 'p:', bit: 1 },
  agent: { prefix: 'a:', bit: 2 },
  entity: { prefix: 'e:', bit: 4 },
} as const;

/** The key of a literal reference. */
export function referenceKey(prefix: string, type: string, id: string): string {
  return `${prefix}${id}/${type}`;
}

/** The key of an access label. */
export function labelKey(label: string): string {
  return `l:${label}`;
}

/** All keys of an AuditEvent, each once. */
export function auditKeys(audit: AuditWrite): readonly string[] {
  const keys = new Set<string>();
  addReferences(keys, auditReferences.patient.prefix, audit.patients);
  addReferences(keys, auditReferences.agent.prefix, audit.agents);
  addReferences(keys, auditReferences.entity.prefix, audit.entities);
  for (const label of audit.labels) keys.add(labelKey(label));
  return [...keys];
}

/** Which of the reference parameters have a value. */
export function presentReferences(audit: AuditWrite): number {
  return (
    (audit.patients.length > 0 ? auditReferences.patient.bit : 0) |
    (audit.agents.length > 0 ? auditReferences.agent.bit : 0) |
    (audit.entities.length > 0 ? auditReferences.entity.bit : 0)
  );
}

function addReferences(keys: Set<string>, prefix: string, references: readonly string[]): void {
  for (const reference of references) {
    const slash = reference.indexOf('/');
    keys.add(referenceKey(prefix, reference.slice(0, slash), reference.slice(slash + 1)));
  }
}
