/**
 * Runs the test files side by side, the longest first, and reports each as it ends. The last line is
 * `N passed, N failed`. Arguments: files or folders (`npm test -- test/cpis`), `--fast`, `--long`, `--jobs=N`. The whole
 * output of a file is kept in `.tap/output`.
 */
import { globSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { MongodMissing } from './install-mongod.ts';
import { estimateSecondsLeft, orderFiles, type Times } from './testing/plan-run.ts';
import { type FileResult, runFile } from './testing/run-file.ts';
import { openTestDatabase } from './testing/test-database.ts';

/** The rules alone: no file here starts a process or needs a database server, and all of them end within a minute. */
const fastPaths = [
  'test/auth/verify-token.test.ts',
  'test/clock',
  'test/conformance/table.test.ts',
  'test/cpis',
  'test/faults/table.test.ts',
  'test/demographics/compare-person.test.ts',
  'test/demographics/read-answer.test.ts',
  'test/demographics/record-response.test.ts',
  'test/docs',
  'test/fhir',
  'test/notification/delivery/queue-state.test.ts',
  'test/notification/delivery/send-slots.test.ts',
  'test/notification/outbound-http/schedule.test.ts',
  'test/profiles',
  'test/property/auth.test.ts',
  'test/property/json.test.ts',
  'test/property/nhs-number.test.ts',
  'test/property/search-semantics.test.ts',
  'test/registry',
  'test/scripts/plan-run.test.ts',
  'test/scripts/tap-output.test.ts',
  'test/settings',
];

/** How long a file may take, on a machine that does much else. */
const fileLimits = { timeoutS: 900, graceS: 60 };

/** What `--long` makes longer; the tests hold the shorter defaults. */
const longEnv = {
  ...{ SIMULATION_SEEDS: '2000', KILL_ROUNDS: '20', CPIS_TEST_EVENTS: '400' },
  ...{ TRANSFER_PLANS: '5000', THIRTY_YEARS_RUNS: '40' },
};

const root = join(import.meta.dirname, '..');
process.chdir(root);
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { fast: { type: 'boolean' }, long: { type: 'boolean' }, jobs: { type: 'string' } },
});
const isLong = values.long === true;
// Some files wait more than they compute: one more than there are cores keeps the cores busy.
const jobs = Number(values.jobs ?? Math.min(availableParallelism() + 1, 8));
if (!(jobs >= 1)) throw new Error('--jobs must be a number of at least 1');
const timesFile = join(root, '.tap', isLong ? 'test-times-long.json' : 'test-times.json');
const times = readTimes();
const paths = values.fast === true ? fastPaths : positionals.length > 0 ? positionals : ['test'];
const files = orderFiles([...new Set(paths.flatMap(listFiles))], times);

const database = await openTestDatabase(files).catch((error: unknown) => {
  if (!(error instanceof MongodMissing)) throw error;
  console.error(error.message);
  process.exit(1);
});
const env = {
  // Each test file, and each server that it starts, is a process that loads the same modules.
  NODE_COMPILE_CACHE: join(root, '.tap/compile-cache'),
  ...(isLong ? longEnv : {}),
  ...process.env,
  ...database.env,
};
const pending = [...files];
const running = new Map<string, number>();
const done: FileResult[] = [];
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));

const startMs = performance.now();
await Promise.all(Array.from({ length: jobs }, runNext));
await database.close();
const measured = Object.fromEntries(done.map(({ file, seconds }) => [file, Math.round(seconds * 10) / 10]));
writeFileSync(timesFile, JSON.stringify({ ...times, ...measured }, null, 1));
report();

async function runNext(): Promise<void> {
  for (let file = pending.shift(); file !== undefined; file = pending.shift()) {
    running.set(file, performance.now());
    const result = await runFile(file, env, fileLimits);
    running.delete(file);
    done.push(result);
    const outputFile = join(root, '.tap/output', `${file}.tap`);
    mkdirSync(dirname(outputFile), { recursive: true });
    writeFileSync(outputFile, result.output);
    console.log(describe(result));
    if (result.failures !== '') console.log(`\n${result.failures}\n`);
  }
}

function describe({ file, passed, failed, skipped, seconds }: FileResult): string {
  const count = `${String(done.length).padStart(String(files.length).length)}/${files.length}`;
  const tests = `${passed} passed${failed > 0 ? `, ${failed} failed` : ''}${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  const under = [...running].map(([name, since]) => ({ file: name, seconds: (performance.now() - since) / 1_000 }));
  const left = estimateSecondsLeft({ pending, running: under, done }, times, jobs);
  const rest = left === undefined || done.length === files.length ? '' : `  (${describeDuration(left)} left)`;
  return `${count} ${failed > 0 ? 'not ok' : 'ok    '} ${file}  ${tests}, ${seconds.toFixed(1)} s${rest}`;
}

function report(): void {
  const sum = (name: 'passed' | 'failed' | 'skipped'): number => done.reduce((total, { [name]: n }) => total + n, 0);
  for (const { file, skipReasons } of done) {
    for (const reason of skipReasons) console.log(`Skipped in ${file}: ${reason}`);
  }
  for (const { file, failed } of done) if (failed > 0) console.log(`Failed: ${file}`);
  const skipped = sum('skipped');
  console.log(`${files.length} files in ${describeDuration((performance.now() - startMs) / 1_000)}`);
  console.log(`${sum('passed')} passed, ${sum('failed')} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`);
  process.exitCode = sum('failed') > 0 ? 1 : 0;
}

function listFiles(path: string): readonly string[] {
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const found = globSync(isFolder ? join(path, '**/*.test.ts') : path).map((file) => file.replaceAll('\\', '/'));
  if (found.length === 0) {
    console.error(`There is no test file at ${path}. Name a test file or a folder that has some.`);
    process.exit(2);
  }
  return found;
}

function readTimes(): Times {
  try {
    return JSON.parse(readFileSync(timesFile, 'utf8')) as Times;
  } catch {
    return {};
  }
}

function describeDuration(seconds: number): string {
  return seconds < 60 ? `${Math.ceil(seconds)} s` : `${Math.round(seconds / 60)} min`;
}
