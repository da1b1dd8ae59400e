/** Says the issues of a record in the terms of an extract: columns, not elements of FHIR. */
import type { PlanColumn } from './plan-columns.ts';

/** The column of an element, by the end of its path. */
const columnOf: Readonly<Record<string, PlanColumn>> = {
  'Flag.period.start': 'start_date',
  'Flag.period.end': 'end_date',
  'Flag.extension': 'due_date',
  'Flag.identifier': 'reference',
  'Flag.code': 'plan_type',
  'Flag.subject': 'nhs_number',
  'Patient.birthDate': 'birth_date',
  'Patient.identifier': 'nhs_number',
  'Patient.name': 'family_name',
};

const terms: readonly (readonly [pattern: RegExp, text: string])[] = [
  [/\b(?:Flag\.)?period\.start\b/g, 'start_date'],
  [/\b(?:Flag\.)?period\.end\b/g, 'end_date'],
  [/\bPatient\.birthDate\b/g, 'birth_date'],
  [/\b(?:in )?the extension cpis-due-date\b/g, 'in the column due_date'],
];

interface NamedIssue {
  readonly diagnostics?: string | undefined;
  readonly expression?: readonly string[] | undefined;
}

/** Returns the column of an element, such as `Bundle.entry[3].resource.period.start` of a Flag. */
function columnFor(expression: string, type: 'Patient' | 'Flag'): PlanColumn | undefined {
  const path = expression.replace(/^Bundle\.entry\[\d+\]\.resource/, type).replaceAll(/\[\d+\]/g, '');
  const element = Object.keys(columnOf).find((known) => path === known || path.startsWith(`${known}.`));
  return element === undefined ? undefined : columnOf[element];
}

/** Returns the text of an issue about a Patient or a Flag, with the column it is about. */
export function nameColumns({ diagnostics = '', expression = [] }: NamedIssue, type: 'Patient' | 'Flag'): string {
  const text = terms.reduce((named, [pattern, column]) => named.replaceAll(pattern, column), diagnostics);
  const column = expression.map((path) => columnFor(path, type)).find((each) => each !== undefined);
  return column === undefined || text === '' || text.startsWith(`${column} `) ? text : `${column}: ${text}`;
}
