import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../..');
const page = readFileSync(join(root, 'docs/threat-model.md'), 'utf8');

/** Returns the cells of each row of the table under a heading. */
const rowsUnder = (heading: string): string[][] => {
  const section = page.split(/^## /m).find((each) => each.startsWith(`${heading}\n`)) ?? '';
  const lines = section.split('\n').filter((line) => line.startsWith('| '));
  return lines.slice(2).map((line) =>
    line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
};

const threats = rowsUnder('Threats');

t.test('each threat has its number, a control, a state, and tests that exist', async (t) => {
  t.strictSame(
    threats.map(([number]) => number),
    threats.map((_, index) => `T${index + 1}`),
  );
  for (const [number = '', threat = '', control = '', state = '', tests = ''] of threats) {
    t.ok(threat !== '' && control !== '', `${number} has a control`);
    t.ok(['held', 'partly', 'open'].includes(state), `${number} has a state`);
    const links = [...tests.matchAll(/\]\(\.\.\/(test\/[^)]+\.test\.ts)\)/g)].map(([, file = '']) => file);
    t.ok(links.length > 0 && links.every((file) => existsSync(join(root, file))), `${number} has tests`);
  }
});

for (const [heading, entries] of [
  ['OWASP API Security Top 10 2023', 10],
  ['OWASP ASVS 5.0.0', 17],
  ['Data Security and Protection Toolkit', 5],
] as const) {
  t.test(`${heading} is mapped to threats that exist`, async (t) => {
    const known = new Set(threats.map(([number]) => number));
    const rows = rowsUnder(heading);
    t.equal(rows.length, entries);
    for (const [name = '', cell = '', note = ''] of rows) {
      if (cell === '-') t.not(note, '', `${name} says why it does not apply`);
      else
        t.ok(
          cell.split(', ').every((number) => known.has(number)),
          name,
        );
    }
  });
}

t.test('each threat is in one of the maps at least', async (t) => {
  const mapped = ['OWASP API Security Top 10 2023', 'OWASP ASVS 5.0.0', 'Data Security and Protection Toolkit'].flatMap(
    (heading) => rowsUnder(heading).flatMap(([, cell = '']) => cell.split(', ')),
  );
  for (const [number = ''] of threats) t.ok(mapped.includes(number), number);
});
