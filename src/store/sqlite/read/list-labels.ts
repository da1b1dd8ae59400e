import { indexKind, labelParam } from '../connection/schema.ts';
import { type Statements, textAt } from '../connection/statements.ts';

/** Returns the labels of a type that start with `prefix`. Each is one seek in the index: after it follows the next one. */
export function listLabels(statements: Statements, type: string, prefix: string): readonly string[] {
  const labels: string[] = [];
  const next = (after: string, isIncluded: boolean): string | undefined => {
    const row = statements.row(
      `SELECT v1 FROM index_value WHERE type = ? AND param = ? AND kind = ? AND v1 ${isIncluded ? '>=' : '>'} ?
       ORDER BY v1 LIMIT 1`,
      type,
      labelParam,
      indexKind.label,
      after,
    );
    const label = row === undefined ? undefined : textAt(row, 0);
    return label?.startsWith(prefix) === true ? label : undefined;
  };
  for (let label = next(prefix, true); label !== undefined; label = next(label, false)) labels.push(label);
  return labels;
}
