import { readFileSync } from 'node:fs';
import t from 'tap';
import { generateConformance } from '../../scripts/generate-conformance.ts';

t.test('docs/conformance.md is that of the cases: node scripts/generate-conformance.ts', async (t) => {
  const page = readFileSync(new URL('../../docs/conformance.md', import.meta.url), 'utf8');
  t.equal(page, generateConformance());
});
