import type { CopiedResource, CopiedVersion } from '../../store-copy.ts';
import { listAt, numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';
import { readIndexValues } from '../encoding/read-index-values.ts';

/** Returns a resource with all its versions; the row has the columns of `copyTables.resource`. */
export function readCopiedResource(statements: Statements, row: Row): CopiedResource {
  const type = textAt(row, 0);
  const id = textAt(row, 1);
  const of = 'WHERE type = ? AND id = ?';
  const versions = statements
    .rows(`SELECT version, lastUpdatedMs, method, labels, body FROM version ${of} ORDER BY version`, type, id)
    .map(
      (version): CopiedVersion => ({
        version: numberAt(version, 0),
        lastUpdatedMs: numberAt(version, 1),
        method: textAt(version, 2) as CopiedVersion['method'],
        labels: listAt(version, 3),
        body: version[4] === null ? null : textAt(version, 4),
      }),
    );
  const index = readIndexValues(statements, type, id);
  const uniqueKeys = statements
    .rows(`SELECT key FROM unique_key ${of} ORDER BY key`, type, id)
    .map((key) => textAt(key, 0));
  return { type, id, revision: numberAt(row, 2), labels: listAt(row, 3), versions, index, uniqueKeys };
}
