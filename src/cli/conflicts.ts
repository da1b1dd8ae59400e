import type { Parameters } from 'fhir/r4.js';
import {
  actAsOperator,
  type OperatorSession,
  operatorOptions,
  operatorUsage,
  refusedBy,
} from './client/operator-session.ts';
import { type CommandIo, readArguments } from './terminal/command-line.ts';
import { readNumbers } from './terminal/read-numbers.ts';
import { renderCsvRow } from './terminal/render-csv.ts';

const usage = `Usage: cpis conflicts [--resolve NUMBERS.CSV] --server URL --client-id ID --key FILE

For operators. Prints, as CSV, the children whose details differ between authorities, and those of whom an authority stated
differing details repeatedly. It prints NHS numbers: keep the output where only those who deal with them can read it.

  --resolve FILE       records that people have looked at the children in this CSV file with a column nhs_number, such as
                       the rows of the output that are done, and takes them off the list
${operatorUsage}

Exit status:
  0    the list is empty, or every child in the file has been taken off it
  1    there are children on the list, or a child in the file was not on it
  2    wrong usage
  3    the server failed or refused; run the same command again
  130  interrupted
`;

const listScope = 'system/Patient.r';
const resolveScope = 'system/Patient.u';

/** Runs `cpis conflicts`. */
export async function conflicts(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    resolve: { type: 'string' },
    ...operatorOptions,
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    io.stdout.write(usage);
    return 0;
  }
  if (values.resolve === undefined) return actAsOperator(values, listScope, io, (session) => list(session, io));
  const numbers = readNumbers('--resolve', values.resolve);
  return actAsOperator(values, resolveScope, io, (session) => resolve(numbers, session, io));
}

async function list(session: OperatorSession, { stdout, stderr }: CommandIo): Promise<number> {
  const { parameter = [] } = await session.request<Parameters>('GET', 'Patient/$demographic-conflicts');
  const children = parameter.filter(({ name }) => name === 'child');
  const total = parameter.find(({ name }) => name === 'total')?.valueInteger ?? children.length;
  stdout.write(renderCsvRow(['nhs_number', 'differs', 'tried']));
  for (const { part = [] } of children) {
    const of = (name: string): string =>
      part.flatMap((each) => (each.name === name ? (each.valueString ?? []) : [])).join(' ');
    stdout.write(renderCsvRow([of('nhs-number'), of('differs'), of('tried')]));
  }
  const shown = children.length === total ? '' : ` The first ${children.length} are listed.`;
  stderr.write(`${total} ${total === 1 ? 'child' : 'children'} to look at.${shown}\n`);
  return total === 0 ? 0 : 1;
}

async function resolve(numbers: readonly string[], session: OperatorSession, { stdout }: CommandIo): Promise<number> {
  let absent = 0;
  for (const number of numbers) {
    const path = `Patient/${number}/$resolve-demographics`;
    const response = await session.send('POST', path, { resourceType: 'Parameters' });
    if (response.status === 404) absent += 1;
    else if (response.status !== 200) throw refusedBy(response);
  }
  stdout.write(`${numbers.length - absent} taken off the list, ${absent} were not on it.\n`);
  return absent === 0 ? 0 : 1;
}
