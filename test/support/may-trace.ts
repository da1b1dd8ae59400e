import { spawnSync } from 'node:child_process';

/** Why strace cannot be used on this machine, for a skipped test; undefined when it can. */
export function whyNoTracing(): string | undefined {
  const tried = spawnSync('strace', ['-f', '-o', '/dev/null', '-e', 'trace=fsync', process.execPath, '--version']);
  if (tried.error !== undefined) return 'strace is not installed';
  return tried.status === 0 ? undefined : 'this machine does not permit ptrace';
}
