/**
 * Installs the server that most tests of the MongoDB store run on: mongo-java-server, from Maven Central, into a cache
 * folder outside the repository. It is no MongoDB: docs/mongodb.md says what it cannot tell.
 */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { cachedFolder, installCached, run } from './cached-install.ts';

const sources = ['pom.xml', 'MongoTestServer.java'].map((name) =>
  fileURLToPath(new URL(`mongo-test-server/${name}`, import.meta.url)),
);

export function mongoTestServerFolder(): string {
  return cachedFolder('mongo-test-server', sources);
}

/** What is missing, in words; undefined: it is installed. */
function install(): string | undefined {
  const [pom = '', java = ''] = sources;
  return installCached(mongoTestServerFolder(), (making) => {
    const lib = join(making, 'lib');
    const fetched = ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${lib}`];
    return (
      run('mvn', fetched, 'Maven (mvn) is not installed') ??
      run('javac', ['-cp', join(lib, '*'), '-d', join(making, 'classes'), java], 'a JDK (javac) is not installed')
    );
  });
}

if (import.meta.main) {
  const problem = install();
  if (problem === undefined) console.log(`The MongoDB test server is in ${mongoTestServerFolder()}.`);
  else {
    console.error(`The MongoDB test server is not installed: ${problem}. Tests of the MongoDB store are skipped.`);
    process.exitCode = 1;
  }
}
