import { globSync, readFileSync } from 'node:fs';
import { relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));
const [first, last] = [15, 33];

/** The files with a test of each case, by its number. */
function findTests(): Map<number, Set<string>> {
  const found = new Map<number, Set<string>>();
  for (const file of globSync('test/**/*.test.ts', { cwd: root })) {
    const names = readFileSync(`${root}${file}`, 'utf8').matchAll(/['`]case (\d+)[: ]/g);
    for (const [, number] of names) {
      const files = found.get(Number(number)) ?? new Set<string>();
      found.set(Number(number), files.add(relative('test', file)));
    }
  }
  return found;
}

t.test('docs/faults.md names each case of delivery with the files that test it', async (t) => {
  const tests = findTests();
  const rows = readFileSync(`${root}docs/faults.md`, 'utf8').matchAll(/^\| (\d+) .*$/gm);
  const listed = new Map([...rows].map(([row, number]) => [Number(number), row]));
  t.same(
    [...listed.keys()],
    Array.from({ length: last - first + 1 }, (_, index) => first + index),
  );
  for (const [number, row] of listed) {
    const links = [...row.matchAll(/\(\.\.\/test\/([^)]*)\)/g)].map(([, file]) => file);
    t.same([...new Set(links)].sort(), [...(tests.get(number) ?? [])].sort(), `case ${number}`);
  }
});
