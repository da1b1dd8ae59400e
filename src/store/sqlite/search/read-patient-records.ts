import type { Statements } from '../connection/statements.ts';
import { readIndexValues } from '../encoding/read-index-values.ts';
import { compileSearch } from './compile-search.ts';
import { type PatientRecord, patientParam, type RecordsOf } from './patient-records.ts';
import { resourceMatch } from './run-search.ts';

/** Maximum number of cached records of one patient. */
const maxRecords = 64;

/** Returns all current records of a type that refer to the patient, from one snapshot; undefined if there are too many. */
export function readPatientRecords(
  statements: Statements,
  { type, reference }: RecordsOf,
): readonly PatientRecord[] | undefined {
  const slash = reference.indexOf('/');
  const patient = { kind: 'literal', type: reference.slice(0, slash), id: reference.slice(slash + 1) } as const;
  const plan = {
    type,
    clauses: [{ kind: 'reference', param: patientParam, any: [patient] } as const],
    sort: [],
    limit: maxRecords,
    total: false,
  };
  const { page } = compileSearch(plan);
  statements.run('BEGIN');
  try {
    const rows = statements.rows(page.sql, ...page.params);
    if (rows.length > maxRecords) return undefined;
    return rows.map((row) => {
      const resource = resourceMatch(statements, plan, row);
      return { resource, values: readIndexValues(statements, type, resource.id) };
    });
  } finally {
    statements.run('COMMIT');
  }
}
