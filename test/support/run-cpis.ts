import { spawn } from 'node:child_process';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { runCommand } from '../../src/cli/main.ts';

const program = fileURLToPath(new URL('../../bin/cpis.js', import.meta.url));

export interface CpisRun {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

/** Runs a command in this process, with its own streams, to its end. Signals and crashes need `runCpis`. */
export async function runCommandHere(args: readonly string[], input: string | Buffer = ''): Promise<CpisRun> {
  let out = '';
  let err = '';
  const code = await runCommand(args, {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: { write: (text) => (out += text) },
    stderr: { write: (text) => (err += text) },
  });
  return { code, out, err };
}

/** Runs a command as a user would, in its own process, to its end. */
export async function runCpis(
  args: readonly string[],
  { input = '', interruptOn }: { readonly input?: string | Buffer; readonly interruptOn?: string } = {},
): Promise<CpisRun> {
  const child = spawn(process.execPath, [program, ...args], { stdio: 'pipe' });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject).once('close', resolve);
  });
  // A command that does not read its input may have ended before it is written.
  child.stdin.on('error', () => undefined).end(input);
  if (interruptOn !== undefined) {
    let seen = '';
    child.stderr.on('data', (chunk: Buffer) => {
      seen += chunk.toString();
      if (seen.includes(interruptOn) && !child.killed) child.kill('SIGINT');
    });
  }
  const [out, err, code] = await Promise.all([buffer(child.stdout), buffer(child.stderr), ended]);
  return { code, out: out.toString(), err: err.toString() };
}
