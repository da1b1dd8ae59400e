/**
 * Installs the server that the tests of the MongoDB store run on: mongo-java-server, from Maven Central, into a cache folder
 * outside the repository. Does nothing when it is there. It is no MongoDB: docs/mongodb.md says what it cannot tell.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const sources = ['pom.xml', 'MongoTestServer.java'].map((name) =>
  fileURLToPath(new URL(`mongo-test-server/${name}`, import.meta.url)),
);

/** Where it is, or would be; another one for each state of its sources. */
export function mongoTestServerFolder(): string {
  const hash = createHash('sha256');
  for (const source of sources) hash.update(readFileSync(source));
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return join(cache, 'cpis-fhir', `mongo-test-server-${hash.digest('hex').slice(0, 12)}`);
}

/** What is missing, in words; undefined: it is installed. */
function install(): string | undefined {
  const folder = mongoTestServerFolder();
  if (existsSync(folder)) return undefined;
  const [pom = '', java = ''] = sources;
  const making = `${folder}.${process.pid}`;
  mkdirSync(making, { recursive: true });
  try {
    const lib = join(making, 'lib');
    const fetched = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`];
    return (
      run('mvn', fetched, 'Maven (mvn) is not installed') ??
      run('javac', ['-cp', join(lib, '*'), '-d', join(making, 'classes'), java], 'a JDK (javac) is not installed') ??
      finish(making, folder)
    );
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

function finish(making: string, folder: string): undefined {
  // Another process may have been first.
  if (!existsSync(folder)) renameSync(making, folder);
}

function run(command: string, args: readonly string[], missing: string): string | undefined {
  const { error, status } = spawnSync(command, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  if (error !== undefined) return missing;
  return status === 0 ? undefined : `${command} failed with status ${status}`;
}

if (import.meta.main) {
  const problem = install();
  if (problem === undefined) console.log(`The MongoDB test server is in ${mongoTestServerFolder()}.`);
  else {
    console.error(`The MongoDB test server is not installed: ${problem}. Tests of the MongoDB store are skipped.`);
    process.exitCode = 1;
  }
}
