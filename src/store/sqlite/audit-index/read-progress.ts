import { numberAt, type Statements } from '../connection/statements.ts';

/** Returns the sequence number up to which AuditEvents have their search keys, or their deliveries queued. */
export function readProgress(statements: Statements, of: 'indexed' | 'queued'): number {
  const row = statements.row(`SELECT ${of} FROM audit_progress`);
  if (row === undefined) throw new Error('audit_progress has no row');
  return numberAt(row, 0);
}
