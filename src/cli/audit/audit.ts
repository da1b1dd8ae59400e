import { existsSync } from 'node:fs';
import { text } from 'node:stream/consumers';
import type { JWK } from 'jose';
import { isNhsNumber } from '../../cpis/nhs-number.ts';
import { createPrivateFile } from '../../files/private-file.ts';
import { actAsOperator, type OperatorSession, operatorOptions } from '../client/operator-session.ts';
import { CommandError, type CommandIo, readArguments, required, UsageError } from '../terminal/command-line.ts';
import { readFileOf, readPrivateKey } from '../terminal/read-file.ts';
import { openExport } from './open-export.ts';
import { readTrail, type TrailQuery } from './read-trail.ts';
import { type ExportFormat, exportFormats, renderEvent, renderHeading } from './render-event.ts';
import { renderSubjectHeading, renderSubjectLine, signExport } from './subject-access.ts';

const usage = `Usage: cpis audit (--patient FILE | --professional ID | --organisation ID) [options] --server URL --client-id ID --key FILE
       cpis audit --subject-access --sign-key FILE --patient FILE --out FILE [options] --server URL --client-id ID --key FILE

For auditors. Prints or exports who used the records, the newest first. The server records each page that is read.

  --patient FILE       accesses to this child: a file with the NHS number, or - for standard input, so that it is in no history
                       of commands
  --professional ID    accesses by this professional: the identifier, or system|identifier
  --organisation ID    accesses by this organisation: its ODS code; for an authority its GSS code
  --from DAY           first day, YYYY-MM-DD
  --to DAY             last day, YYYY-MM-DD
  --format NAME        table, csv or ndjson (default table); csv is safe to open in a spreadsheet
  --out FILE           a new file that only you can read (default: standard output)
  --subject-access     a copy in plain words for the person concerned, and its signature in FILE.jws. Have it checked for what
                       the law exempts before you give it to anybody
  --sign-key FILE      your private key for signatures, of "cpis keygen --out"
  --redact-names       with --subject-access: leave the names of members of staff out
  --server URL         the FHIR base, such as https://cpis.example.org/FHIR/R4
  --client-id ID       your client in the registry, with the role auditor
  --key FILE           its private key
  --give-up-after-s N  how long to retry while the server fails, in seconds (default 900)

Exit status: 0 done, 1 a file cannot be written, 2 wrong usage, 3 the server failed or refused, 130 interrupted.
`;

const scope = 'system/AuditEvent.rs';

/** Runs `cpis audit`. */
export async function audit(args: readonly string[], io: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    patient: { type: 'string' },
    professional: { type: 'string' },
    organisation: { type: 'string' },
    from: { type: 'string' },
    to: { type: 'string' },
    format: { type: 'string' },
    out: { type: 'string' },
    'subject-access': { type: 'boolean', default: false },
    'sign-key': { type: 'string' },
    'redact-names': { type: 'boolean', default: false },
    ...operatorOptions,
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    io.stdout.write(usage);
    return 0;
  }
  const { professional, organisation, out, patient: file, 'subject-access': isForSubject } = values;
  if (file === undefined && professional === undefined && organisation === undefined) {
    throw new UsageError('Give --patient, --professional or --organisation.');
  }
  if (!isForSubject && (values['sign-key'] !== undefined || values['redact-names'])) {
    throw new UsageError('--sign-key and --redact-names need --subject-access.');
  }
  const [from, to] = [dayOf(values.from, '--from'), dayOf(values.to, '--to')];
  if (from !== undefined && to !== undefined && from > to) throw new UsageError('--from must not be after --to.');
  const period = { from, to };
  if (isForSubject) {
    if (values.format !== undefined || professional !== undefined || organisation !== undefined) {
      throw new UsageError('--subject-access is about one child: use it with --patient, --from and --to only.');
    }
    const key = readPrivateKey('--sign-key', required(values['sign-key'], '--sign-key'));
    const target = required(out, '--out');
    const nhsNumber = await readNumber(required(file, '--patient'), io.stdin);
    const run = { ...period, nhsNumber, redacts: values['redact-names'], key, out: target };
    return actAsOperator(values, scope, io, (session) => exportForSubject(run, session, io));
  }
  const format = exportFormats.find((each) => each === (values.format ?? 'table'));
  if (format === undefined) throw new UsageError(`--format must be one of ${exportFormats.join(', ')}.`);
  const nhsNumber = file === undefined ? undefined : await readNumber(file, io.stdin);
  const query = { ...period, professional, organisation, nhsNumber };
  return actAsOperator(values, scope, io, (session) => exportTrail(query, format, out, session, io));
}

async function exportTrail(
  query: TrailQuery,
  format: ExportFormat,
  out: string | undefined,
  session: OperatorSession,
  { stdout, stderr }: CommandIo,
): Promise<number> {
  const target = openExport(out, stdout);
  try {
    await target.write(renderHeading(format));
    let count = 0;
    for await (const event of readTrail(query, session)) {
      await target.write(renderEvent(event, format));
      count += 1;
    }
    target.finish();
    stderr.write(`${count} ${count === 1 ? 'access' : 'accesses'}.\n`);
    return 0;
  } finally {
    target.discard();
  }
}

interface SubjectExport {
  readonly nhsNumber: string;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly redacts: boolean;
  readonly key: JWK;
  readonly out: string;
}

async function exportForSubject(
  { nhsNumber, from, to, redacts, key, out }: SubjectExport,
  session: OperatorSession,
  { stdout, stderr }: CommandIo,
): Promise<number> {
  if (existsSync(`${out}.jws`)) throw new CommandError(`${out}.jws already exists. Choose another file name.`);
  const target = openExport(out, stdout);
  try {
    await target.write(renderSubjectHeading(nhsNumber, { from, to, redacts }));
    let accesses = 0;
    for await (const event of readTrail({ nhsNumber, from, to }, session)) {
      await target.write(renderSubjectLine(event, redacts));
      accesses += 1;
    }
    const claims = { sha256: target.finish(), accesses, namesRedacted: redacts, created: new Date().toISOString() };
    if (!createPrivateFile(`${out}.jws`, `${await signExport(claims, key)}\n`)) {
      throw new CommandError(`${out}.jws already exists and was not changed. Remove both files and run again.`);
    }
    stderr.write(`${accesses} ${accesses === 1 ? 'access' : 'accesses'}. The signature is in ${out}.jws.\n`);
    return 0;
  } finally {
    target.discard();
  }
}

function dayOf(day: string | undefined, option: string): string | undefined {
  if (day === undefined) return undefined;
  const isDay = /^\d{4}-\d\d-\d\d$/.test(day) && new Date(`${day}T00:00:00Z`).toJSON()?.slice(0, 10) === day;
  if (!isDay) throw new UsageError(`${option} must be a day, YYYY-MM-DD.`);
  return day;
}

/** Reads the NHS number in a file, or on standard input. The message does not repeat what was read. */
async function readNumber(file: string, stdin: CommandIo['stdin']): Promise<string> {
  if (isNhsNumber(file.replaceAll(/[\s-]/g, ''))) {
    throw new UsageError(
      '--patient: give the name of a file with the number, or -, so that it is in no history of commands.',
    );
  }
  const given = file === '-' ? await text(stdin) : readFileOf('--patient', file).toString('utf8');
  const number = given.replaceAll(/[\s-]/g, '');
  if (!isNhsNumber(number)) throw new UsageError('--patient: there is no correct NHS number in it.');
  return number;
}
