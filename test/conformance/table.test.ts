import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { generateConformance } from '../../scripts/generate-conformance.ts';

t.test('docs/conformance.md is that of the cases: node scripts/generate-conformance.ts', async (t) => {
  const page = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');
  t.equal(page, generateConformance());
});

t.test('each file of cases is run by one test file', async (t) => {
  const sources = readdirSync(import.meta.dirname)
    .filter((name) => name.endsWith('.test.ts'))
    .map((name) => readFileSync(new URL(name, import.meta.url), 'utf8'));
  const run = sources.flatMap((source) =>
    [...source.matchAll(/^import '\.\/cases\/(.+)';$/gm)].map(([, file]) => file),
  );
  t.strictSame(run.sort(), readdirSync(new URL('cases', import.meta.url)).sort());
});
