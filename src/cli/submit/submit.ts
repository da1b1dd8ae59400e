import { rmSync } from 'node:fs';
import { openAccessTokenSource } from '../../auth/access-token-source.ts';
import { replacePrivateFile } from '../../files/private-file.ts';
import { baseUrlOf, readArguments, required, UsageError, wholeNumber } from '../command-line.ts';
import { readPrivateKey } from '../read-file.ts';
import { openServerSession } from '../server-session.ts';
import { openJournal } from './journal.ts';
import { type Extract, inspectExtract } from './open-extract.ts';
import { fileResponse } from './record-response.ts';
import { countLoaded, openProgress, renderResults } from './report.ts';
import { readCandidates, runSubmission } from './run-submission.ts';

const usage = `Usage: cpis submit PLANS.CSV --server URL --client-id ID --key FILE --reference-system URL [options]

Submits the plans of an extract and writes what became of each record. Sent again, an extract changes nothing; a run that
was cut off goes on where it was when the same command is given again.

  --server URL              the FHIR base, such as https://cpis.example.org/FHIR/R4
  --client-id ID            your client of the registry
  --key FILE                its private key, made by "cpis keygen"
  --reference-system URL    the namespace of your references, such as https://authority.example.org/case-reference
  --results FILE            where the results go; PLANS.CSV with .results.csv at its end unless given
  --batch-size N            records in one request, 1 to 500; 100 unless given
  --give-up-after-s N       how long a server that does not answer is waited for; 900 unless given
  --check                   look for what is wrong with the extract, send nothing
  --ignore-unknown-columns  pass over columns that are not known

Columns: reference, nhs_number, family_name, given_names, birth_date, plan_type (CPP, LAC or UCPP), start_date, end_date,
withdrawn (docs/command-line.md). Exit status: 0 all loaded, 1 some not, 2 wrong usage, 3 the server could not be worked
with, 130 interrupted.
`;

const scope = 'system/Flag.cruds system/Patient.crus';
const requestTimeoutMs = 60_000;

/** `cpis submit`: see the usage above. */
export async function submit(args: readonly string[]): Promise<void> {
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
      'ignore-unknown-columns': { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
    1,
  );
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const file = required(positionals[0], 'The extract, a CSV file,');
  const resultsFile = values.results ?? `${file}.results.csv`;
  const referenceSystem = values.check
    ? 'urn:check'
    : systemOf(required(values['reference-system'], '--reference-system'));
  const batchSize = wholeNumber(values['batch-size'], '--batch-size', 1, 500, 100);
  const giveUpAfterMs = 1000 * wholeNumber(values['give-up-after-s'], '--give-up-after-s', 1, 86_400, 900);
  const connection = values.check ? undefined : readConnection(values.server, values['client-id'], values.key);
  const extract = await inspectExtract(file, values['ignore-unknown-columns']);
  if (connection === undefined) {
    await check(file, extract);
    return;
  }

  const { baseUrl, clientId, privateJwk } = connection;
  const identity = JSON.stringify([extract.fingerprint, baseUrl, clientId, referenceSystem]);
  const journalFile = `${resultsFile}.part`;
  const journal = openJournal(journalFile, identity);
  const already = journal.results.length;
  if (already > 0) process.stderr.write(`Going on after record ${already}.\n`);
  const interrupted = new AbortController();
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
      backOff: { giveUpAfterMs, signal: interrupted.signal, onWait: tellWait },
      onProgress: openProgress(journal.results, extract.records),
    });
  } catch (error) {
    if (!interrupted.signal.aborted) throw error;
    process.stderr.write(`Interrupted after record ${journal.results.length}: the same command goes on from there.\n`);
    process.exitCode = 130;
    return;
  } finally {
    journal.close();
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
  replacePrivateFile(resultsFile, renderResults(journal.results));
  rmSync(journalFile);
  const loaded = countLoaded(journal.results);
  process.stdout.write(
    `${loaded} of ${journal.results.length} records loaded. ${fileResponse(loaded, journal.results.length)}.\n`,
  );
  process.stdout.write(`What became of each is in ${resultsFile}\n`);
  if (loaded < journal.results.length) process.exitCode = 1;
}

/** Tells every record that would not be sent; exit code 1 when there is one. */
async function check(file: string, extract: Extract): Promise<void> {
  let unfit = 0;
  for await (const { place, plan } of readCandidates(file, extract)) {
    if (!('reason' in plan)) continue;
    unfit += 1;
    process.stdout.write(`record ${place.record}: ${plan.reason}\n`);
  }
  process.stdout.write(`${extract.records} records, ${unfit} with problems. Nothing was sent.\n`);
  if (unfit > 0) process.exitCode = 1;
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
  throw new UsageError('--reference-system is a URL or URN.');
}

function tellWait(reason: string, waitMs: number): void {
  process.stderr.write(`${reason}; trying again in ${Math.ceil(waitMs / 1000)} s\n`);
}
