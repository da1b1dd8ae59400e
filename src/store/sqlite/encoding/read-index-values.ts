import type { IndexValue } from '../../../fhir/search/ast.ts';
import { indexKind, labelParam } from '../connection/schema.ts';
import { numberAt, type Row, type Statements, textAt } from '../connection/statements.ts';

/** Returns the searchable values of a current resource. */
export function readIndexValues(statements: Statements, type: string, id: string): readonly IndexValue[] {
  return statements
    .rows(
      `SELECT kind, param, v1, v2 FROM index_value WHERE type = ? AND id = ? AND param <> ?
       ORDER BY param, kind, v1, v2`,
      type,
      id,
      labelParam,
    )
    .map(decode);
}

function decode(row: Row): IndexValue {
  const param = textAt(row, 1);
  const system = (): string | null => textAt(row, 3) || null;
  switch (numberAt(row, 0)) {
    case indexKind.token:
      return { kind: 'token', param, code: textAt(row, 2), system: system() };
    case indexKind.reference:
      return { kind: 'reference', param, id: textAt(row, 2), type: textAt(row, 3) };
    case indexKind['reference-identifier']:
      return { kind: 'reference-identifier', param, value: textAt(row, 2), system: system() };
    case indexKind.date:
      return { kind: 'date', param, startMs: numberAt(row, 2), endMs: numberAt(row, 3) };
    case indexKind.string:
      return { kind: 'string', param, normalised: textAt(row, 2), exact: textAt(row, 3) };
    case indexKind.uri:
      return { kind: 'uri', param, value: textAt(row, 2) };
    default:
      throw new TypeError('index_value has a row of an unknown kind');
  }
}
