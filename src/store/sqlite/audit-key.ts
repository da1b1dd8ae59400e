/**
 * The keys under which an AuditEvent is found: `id/Type`, so that any type is a range, then what the reference is. A patient
 * is entity as well: both keys lie on one page of the index, which halves the pages that a commit has to write.
 */
import type { AuditWrite } from '../store.ts';

/** The reference parameters of AuditEvent; `bit` is its flag in `audit.present`. */
export const auditReferences = {
  patient: { suffix: '|p', bit: 1 },
  agent: { suffix: '|a', bit: 2 },
  entity: { suffix: '|e', bit: 4 },
} as const;

/** The key of a literal reference. */
export function referenceKey(suffix: string, type: string, id: string): string {
  return `r:${id}/${type}${suffix}`;
}

/** The key of an access label. */
export function labelKey(label: string): string {
  return `l:${label}`;
}

/** All keys of an AuditEvent, each once. */
export function auditKeys(audit: AuditWrite): readonly string[] {
  const keys = new Set<string>();
  addReferences(keys, auditReferences.patient.suffix, audit.patients);
  addReferences(keys, auditReferences.agent.suffix, audit.agents);
  addReferences(keys, auditReferences.entity.suffix, audit.entities);
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

function addReferences(keys: Set<string>, suffix: string, references: readonly string[]): void {
  for (const reference of references) {
    const slash = reference.indexOf('/');
    keys.add(referenceKey(suffix, reference.slice(0, slash), reference.slice(slash + 1)));
  }
}
