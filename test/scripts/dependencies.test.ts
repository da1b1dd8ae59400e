import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { makeTempFolder } from '../support/temp-folder.ts';

const registry = 'https://registry.npmjs.org/';
const root = join(import.meta.dirname, '..', '..');

interface Manifest {
  readonly dependencies?: Record<string, string>;
  readonly devDependencies?: Record<string, string>;
  readonly optionalDependencies?: Record<string, string>;
}

interface LockEntry {
  readonly version: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly dev?: boolean;
}

interface Lockfile {
  readonly packages: Record<string, LockEntry>;
}

function readJson<T>(path: string): T {
  return JSON.parse(readFileSync(join(root, path), 'utf8')) as T;
}

for (const folder of ['.', 'tools/sbom']) {
  t.test(`${folder}: each dependency is one exact version with its hash, and no install script runs`, async (t) => {
    const manifest = readJson<Manifest>(`${folder}/package.json`);
    const named = { ...manifest.dependencies, ...manifest.devDependencies, ...manifest.optionalDependencies };
    const loose = Object.entries(named).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version));
    t.strictSame(loose, [], 'exact versions');
    const { packages } = readJson<Lockfile>(`${folder}/package-lock.json`);
    const installed = Object.entries(packages).filter(([path]) => path !== '');
    t.ok(installed.length > 50);
    const isSafe = ({ integrity = '', resolved = registry }: LockEntry) =>
      integrity.startsWith('sha512-') && resolved.startsWith(registry);
    const unsafe = installed.filter(([, entry]) => !isSafe(entry)).map(([path]) => path);
    t.strictSame(unsafe, [], 'each has a hash and comes from the registry');
    t.match(readFileSync(join(root, folder, '.npmrc'), 'utf8'), /^ignore-scripts=true$/m);
  });
}

t.test('the SBOM lists exactly the packages of the lockfile that a production installation has', async (t) => {
  const file = join(makeTempFolder(t), 'sbom.cdx.json');
  execFileSync(process.execPath, [join(root, 'scripts/write-sbom.ts'), file], { stdio: 'pipe' });
  const { components } = JSON.parse(readFileSync(file, 'utf8')) as { components: { purl: string }[] };
  const listed = new Set(components.map(({ purl }) => decodeURIComponent(purl.replace(/\?.*$/, ''))));
  const wanted = Object.entries(readJson<Lockfile>('package-lock.json').packages)
    .filter(([path, entry]) => path !== '' && entry.dev !== true)
    .map(([path, { version }]) => `pkg:npm/${path.replace(/^.*node_modules\//, '')}@${version}`);
  t.strictSame([...listed].sort(), [...new Set(wanted)].sort());
});
