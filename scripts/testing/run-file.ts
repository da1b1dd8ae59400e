import { spawn } from 'node:child_process';
import { type Counts, readCounts, readFailures, readSkipReasons } from './tap-output.ts';

/** What one test file did. */
export interface FileResult extends Counts {
  readonly file: string;
  readonly seconds: number;
  readonly skipReasons: readonly string[];
  /** Everything to print of a file that failed; empty if it passed. */
  readonly failures: string;
  /** All that the file wrote, as TAP. */
  readonly output: string;
}

/**
 * Runs a test file in a process of its own, which writes TAP. It is killed when it does not end `graceS` after its
 * time.
 */
export async function runFile(
  file: string,
  env: NodeJS.ProcessEnv,
  { timeoutS, graceS }: { readonly timeoutS: number; readonly graceS: number },
): Promise<FileResult> {
  const startMs = performance.now();
  const child = spawn(process.execPath, [file], {
    stdio: ['ignore', 'pipe', 'pipe'],
    // tap itself fails the test that hangs, by name; the kill below is for a process that does not end even then.
    env: { ...env, TAP: '1', TAP_TIMEOUT: String(timeoutS) },
  });
  let output = '';
  let errors = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    errors += text;
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), (timeoutS + graceS) * 1_000);
  const stop = (): void => void child.kill('SIGTERM');
  process.once('exit', stop);
  const ended = await new Promise<string | undefined>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('close', (code, signal) =>
      resolve(code === 0 ? undefined : `it ended with ${signal ?? `code ${code}`}`),
    );
  });
  clearTimeout(timer);
  process.off('exit', stop);
  return { file, seconds: (performance.now() - startMs) / 1_000, output, ...judge(output, errors, ended) };
}

function judge(
  output: string,
  errors: string,
  ended: string | undefined,
): Omit<FileResult, 'file' | 'seconds' | 'output'> {
  const counts = readCounts(output);
  const { passed, failed, skipped } = counts ?? { passed: 0, failed: 0, skipped: 0 };
  const problem = ended ?? (counts === undefined ? 'it ended before its tests did' : undefined);
  const isFailed = failed > 0 || problem !== undefined;
  const found = isFailed ? readFailures(output) : '';
  // Without a failed assertion nothing says what went wrong but the output itself.
  const shown = found === '' && isFailed ? output : found;
  return {
    passed,
    failed: isFailed ? Math.max(failed, 1) : 0,
    skipped,
    skipReasons: readSkipReasons(output),
    failures: isFailed ? [shown, errors, problem ?? ''].filter((text) => text.trim() !== '').join('\n') : '',
  };
}
