/**
 * Builds FerretDB 1.24.2 with Go, into a cache folder outside the repository: the second server that the MongoDB store is
 * tested on. `go install` of its command asks for the list of its versions, which not every module proxy gives; a module
 * that requires this one version does not, and go.sum holds what each of its parts must be.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachedFolder, installCached, run } from './cached-install.ts';

const module = fileURLToPath(new URL('ferretdb/', import.meta.url));
const sources = ['go.mod', 'go.sum', 'main.go'].map((name) => join(module, name));

/** The program, or where it would be. */
export function ferretDbProgram(): string {
  return join(cachedFolder('ferretdb', sources), 'ferretdb');
}

if (import.meta.main) {
  const problem = installCached(cachedFolder('ferretdb', sources), (making) => {
    const args = ['build', '-mod=readonly', '-trimpath', '-o', join(making, 'ferretdb'), '.'];
    return run('go', args, 'Go (go) is not installed', module);
  });
  if (problem === undefined) console.log(`FerretDB is ${ferretDbProgram()}.`);
  else {
    console.error(`FerretDB is not installed: ${problem}. The tests of the MongoDB store on FerretDB are skipped.`);
    process.exitCode = 1;
  }
}
