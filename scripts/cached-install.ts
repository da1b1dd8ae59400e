/** Programs that the tests run on, made of sources in this folder into a cache folder outside the repository. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Where a program is, or would be; another folder for each state of its sources. */
export function cachedFolder(name: string, sources: readonly string[]): string {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(source));
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'cpis-fhir', `${name}-${hash.digest('hex').slice(0, 12)}`);
}

/** Nothing is done when it is there. `make` fills a folder, and says in words what is missing for that. */
export function installCached(folder: string, make: (making: string) => string | undefined): string | undefined {
  if (existsSync(folder)) return undefined;
  const making = `${folder}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  try {
    const problem = make(making);
    // Another process may have been first.
    if (problem === undefined && !existsSync(folder)) renameSync(making, folder);
    return problem;
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

/** Gives `missing` when there is no such command; what it says of a failure goes to standard error. */
export function run(command: string, args: readonly string[], missing: string, cwd?: string): string | undefined {
  const { error, status } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'], cwd });
  if (error !== undefined) return missing;
  return status === 0 ? undefined : `${command} failed with status ${status}`;
}
