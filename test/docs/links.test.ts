import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';

const root = join(import.meta.dirname, '../..');
const pages = [
  'README.md',
  'CONTRIBUTING.md',
  'CHANGELOG.md',
  'SECURITY.md',
  ...globSync('docs/**/*.md', { cwd: root }),
];
const textOf = (page: string): string => readFileSync(join(root, page), 'utf8');
const withoutCode = (text: string): string => text.replaceAll(/```[\s\S]*?```/g, '');

/** Returns the anchors that GitHub gives to the headings of a page. */
const anchorsOf = (text: string): string[] =>
  [...withoutCode(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );

t.test('each relative link of a page leads to a file, and to a heading in it', async (t) => {
  for (const page of pages) {
    for (const [, link = ''] of withoutCode(textOf(page)).matchAll(/\]\((?![a-z]+:)([^)\s]+)\)/g)) {
      const [path = '', anchor] = link.split('#');
      const target = path === '' ? page : join(dirname(page), path);
      const exists = existsSync(join(root, target));
      t.ok(exists && (anchor === undefined || anchorsOf(textOf(target)).includes(anchor)), `${page} links to ${link}`);
    }
  }
});

// Decision records keep the names of their day.
const pagesOfToday = pages.filter((page) => !page.startsWith('docs/adr/') && page !== 'CHANGELOG.md');

t.test('each path of the repository that a page names exists', async (t) => {
  for (const page of pagesOfToday) {
    const paths = textOf(page).matchAll(/(?<![\w./-])((?:src|test|bench|scripts|profiles|bin)\/[\w./-]*\w)/g);
    for (const [, path = ''] of paths) t.ok(existsSync(join(root, path)), `${page} names ${path}`);
  }
});
