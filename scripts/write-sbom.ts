/**
 * Writes the software bill of materials (CycloneDX 1.6, JSON) of what `npm ci --omit=dev` installs: `npm run sbom -- FILE`,
 * `sbom.cdx.json` by default. The generator is installed in tools/sbom at the first run, from its own lockfile.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

const root = join(import.meta.dirname, '..');
const generatorFolder = join(root, 'tools', 'sbom');
const generator = join(generatorFolder, 'node_modules', '@cyclonedx', 'cyclonedx-npm', 'bin', 'cyclonedx-npm-cli.js');
const file = resolve(process.argv[2] ?? 'sbom.cdx.json');

if (!existsSync(generator)) {
  execFileSync('npm', ['ci', '--ignore-scripts', '--omit=optional'], { cwd: generatorFolder, stdio: 'inherit' });
}
execFileSync(
  process.execPath,
  [
    generator,
    '--package-lock-only',
    '--omit=dev',
    '--flatten-components',
    '--spec-version=1.6',
    '--output-reproducible',
    `--output-file=${file}`,
    join(root, 'package.json'),
  ],
  { cwd: root, stdio: 'inherit' },
);
process.stdout.write(`SBOM written: ${file}\n`);
