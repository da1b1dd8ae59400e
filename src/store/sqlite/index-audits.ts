/**
 * Writes the search keys of AuditEvents that have none yet. Left to later and done for thousands at once, in the order of
 * the keys, they cost a fraction of what they would with each event: the events lie at the end of their table, the keys
 * all over theirs.
 */
import { numberAt, type Statements } from './statements.ts';

/** Rows of references carry no codes, and they alone have roles. */
const code = (column: string): string => `iif(k.atom, NULL, a.${column})`;

const insertKeys = `INSERT INTO audit_key
  SELECT k.key, a.recordedMs, a.seq, k.atom, ${['type', 'subtype', 'action', 'outcome', 'present'].map(code).join(', ')}
  FROM audit a CROSS JOIN json_each(a.keys) k WHERE a.seq > ? AND a.seq <= ? ORDER BY 1, 2, 3`;

/** The sequence number up to which AuditEvents are indexed. */
export function readIndexed(statements: Statements): number {
  const row = statements.row('SELECT indexed FROM audit_progress');
  if (row === undefined) throw new Error('audit_progress has no row');
  return numberAt(row, 0);
}

/** Inside a transaction: indexes all that are not, up to `to`. */
export function indexAudits(statements: Statements, to: number): void {
  const from = readIndexed(statements);
  if (to <= from) return;
  statements.run(insertKeys, from, to);
  statements.run('UPDATE audit_progress SET indexed = ?', to);
}
