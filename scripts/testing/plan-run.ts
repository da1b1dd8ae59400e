/** Seconds that each file took in the last run, by path. */
export type Times = Readonly<Record<string, number>>;

/** Files that take long everywhere, longest first: they start first where no run has been timed, as in CI. */
const knownLongest = [
  'test/store/mongo/several-servers.test.ts',
  'test/store/mongo/server-faults.test.ts',
  'test/faults/delivery-cases.test.ts',
  'test/store/mongo/faults.test.ts',
  'test/faults/kill-9.test.ts',
  'test/store/mongo/migrate.test.ts',
  'test/store/sqlite/sqlite.test.ts',
  'test/invariants.test.ts',
  'test/cli/demo.test.ts',
  'test/notification/delivery/dispatcher.test.ts',
];

/** Returns the files longest first, so that no long one runs alone at the end. */
export function orderFiles(files: readonly string[], times: Times): readonly string[] {
  const secondsOf = (file: string): number => {
    const rank = knownLongest.indexOf(file);
    return times[file] ?? (rank < 0 ? meanOf(Object.values(times)) : 1_000 - rank);
  };
  return [...files].sort((a, b) => secondsOf(b) - secondsOf(a) || (a < b ? -1 : 1));
}

/** Estimates the seconds until all files have run: by their times of the last run, at the pace of this one. */
export function estimateSecondsLeft(
  { pending, running, done }: RunState,
  times: Times,
  jobs: number,
): number | undefined {
  const known = done.filter(({ file }) => times[file] !== undefined);
  const before = sumOf(known.map(({ file }) => times[file] ?? 0));
  const pace = before > 0 ? sumOf(known.map(({ seconds }) => seconds)) / before : 1;
  const mean = meanOf([
    ...Object.values(times).map((seconds) => seconds * pace),
    ...done.map(({ seconds }) => seconds),
  ]);
  if (mean === 0) return undefined;
  const expected = (file: string): number => {
    const last = times[file];
    return last === undefined ? mean : last * pace;
  };
  const rest = [...running.map(({ file, seconds }) => Math.max(0, expected(file) - seconds)), ...pending.map(expected)];
  return Math.max(sumOf(rest) / jobs, ...rest, 0);
}

/** Where a run stands: `seconds` of a running file are those since its start. */
export interface RunState {
  readonly pending: readonly string[];
  readonly running: readonly { readonly file: string; readonly seconds: number }[];
  readonly done: readonly { readonly file: string; readonly seconds: number }[];
}

function sumOf(numbers: readonly number[]): number {
  return numbers.reduce((sum, number) => sum + number, 0);
}

function meanOf(numbers: readonly number[]): number {
  return numbers.length === 0 ? 0 : sumOf(numbers) / numbers.length;
}
