import { rmSync } from 'node:fs';
import { openAccessTokenSource } from '../../auth/access-token-source.ts';
import { replacePrivateFile } from '../../files/private-file.ts';
import { openServerSession } from '../client/server-session.ts';
import {
  baseUrlOf,
  type CommandIo,
  readArguments,
  required,
  UsageError,
  wholeNumber,
} from '../terminal/command-line.ts';
import { readPrivateKey } from '../terminal/read-file.ts';
import { checkExtract, checkReferenceSystem } from './check-extract.ts';
import { openJournal } from './journal.ts';
import { inspectExtract } from './open-extract.ts';
import { fileResponse } from './record-response.ts';
import { countLoaded, openProgress, renderResults } from './report.ts';
import { runSubmission } from './run-submission.ts';

const usage = `Usage: cpis submit PLANS.CSV --server URL --client-id ID --key FILE --reference-system URL [options]

Submits the plans of an extract and writes a result for each record. Submitting an extract again changes nothing. If the
command is interrupted, run it again: it continues where it stopped.

  --server URL              the FHIR base, such as https://cpis.example.org/FHIR/R4
  --client-id ID            your client in the registry
  --key FILE                its private key, created by "cpis keygen"
  --reference-system URL    the namespace of your references, such as https://authority.example.org/case-reference
  --results FILE            the file of results (default: PLANS.CSV.results.csv)
  --batch-size N            records in one request, 1 to 500 (default 100)
  --give-up-after-s N       how long to retry while the server fails, in seconds (default 900)
  --check                   check the extract and send nothing
  --registry FILE           with --check: the registry of the operator, in which to look up --reference-system
  --ignore-unknown-columns  ignore columns that are not known

Columns: reference, nhs_number, family_name, given_names, birth_date, plan_type (CPP, LAC or UCPP), start_date,
end_date, due_date, withdrawn. See docs/command-line.md.

Exit status:
  0    all records are loaded
  1    some records are not loaded, or the file is malformed
  2    wrong usage
  3    the server failed or refused the client; run the same command to continue
  130  interrupted; run the same command to continue
`;

const scope = 'system/Flag.cruds system/Patient.crus';
const requestTimeoutMs = 60_000;

/** Runs `cpis submit`. */
export async function submit(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values, positionals } = readArguments(
    args,
    {
      server: { type: 'string' },
      'client-id': { type: 'string' },
      key: { type: 'string' },
      'reference-system': { type: 'string' },
      results: { type: 'string' },
      'batch-size': { type: 'string' },
      'give-up-after-s': { type: 'string' },
      check: { type: 'boolean', default: false },
      registry: { type: 'string' },
      'ignore-unknown-columns': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
    1,
  );
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  const file = required(positionals[0], 'PLANS.CSV');
  const resultsFile = values.results ?? `${file}.results.csv`;
  const isSystemUnused = values.check && values.registry === undefined;
  const referenceSystem = isSystemUnused
    ? 'urn:check'
    : systemOf(required(values['reference-system'], '--reference-system'));
  const batchSize = wholeNumber(values['batch-size'], '--batch-size', 1, 500, 100);
  const giveUpAfterMs = 1000 * wholeNumber(values['give-up-after-s'], '--give-up-after-s', 1, 86_400, 900);
  const connection = values.check ? undefined : readConnection(values.server, values['client-id'], values.key);
  const extract = await inspectExtract(file, values['ignore-unknown-columns']);
  if (values.registry !== undefined) {
    if (!values.check) throw new UsageError('--registry needs --check.');
    checkReferenceSystem(values.registry, required(values['client-id'], '--client-id'), referenceSystem);
  }
  if (connection === undefined) return checkExtract(file, extract, stdout);

  const { baseUrl, clientId, privateJwk } = connection;
  const identity = JSON.stringify([extract.fingerprint, baseUrl, clientId, referenceSystem]);
  const journalFile = `${resultsFile}.part`;
  const journal = openJournal(journalFile, identity);
  const already = journal.results.length;
  if (already > 0) stderr.write(`Continuing after record ${already}.\n`);
  const interrupted = new AbortController();
  const onWait = (reason: string, waitMs: number): void =>
    void stderr.write(`${reason}; retrying in ${Math.ceil(waitMs / 1000)} s\n`);
  const onSignal = (): void => interrupted.abort();
  process.once('SIGINT', onSignal).once('SIGTERM', onSignal);
  try {
    await runSubmission({
      file,
      extract,
      referenceSystem,
      batchSize,
      session: openServerSession({
        baseUrl,
        tokens: openAccessTokenSource(baseUrl, { clientId, privateJwk, scope }),
        requestTimeoutMs,
      }),
      journal,
      backOff: { giveUpAfterMs, signal: interrupted.signal, onWait },
      onProgress: openProgress(journal.results, extract.records, stderr),
    });
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    stderr.write(`Interrupted after record ${journal.results.length}. Run the same command to continue.\n`);
    return 130;
  } finally {
    journal.close();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
  replacePrivateFile(resultsFile, renderResults(journal.results));
  rmSync(journalFile);
  const all = journal.results.length;
  const loaded = countLoaded(journal.results);
  stdout.write(`${loaded} of ${all} records loaded. ${fileResponse(loaded, all)}.\n`);
  stdout.write(`The result of each record is in ${resultsFile}\n`);
  return loaded < all ? 1 : 0;
}

function readConnection(server: string | undefined, clientId: string | undefined, key: string | undefined) {
  return {
    baseUrl: baseUrlOf(required(server, '--server'), '--server'),
    clientId: required(clientId, '--client-id'),
    privateJwk: readPrivateKey('--key', required(key, '--key')),
  };
}

function systemOf(text: string): string {
  if (/^[a-z][a-z0-9+.-]*:[^\s|]{1,250}$/i.test(text) && text.length <= 255) return text;
  throw new UsageError('--reference-system must be a URL or URN.');
}
