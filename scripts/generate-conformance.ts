/**
 * Writes docs/conformance.md from the cases in test/conformance: each tested requirement, and each unsupported feature
 * with the reason. The output depends on these files only, so that a test can compare the page with them.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = 'test/conformance/cases';

interface Case {
  readonly kind: 'conforms' | 'notServed';
  readonly link: string;
  readonly what: string;
  readonly reason: string | undefined;
  readonly file: string;
}

const argument = String.raw`('(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*"|${'`'}[^${'`'}]*${'`'}|[A-Za-z]+)`;
const call = new RegExp(
  String.raw`^(?:conforms\(\s*${argument},\s*${argument},|notServed\(\s*${argument},\s*${argument},\s*${argument},)`,
  'gm',
);

/**
 * Returns the text of docs/conformance.md. Throws if a case is not written with constant texts, so that none is left
 * out.
 */
export function generateConformance(): string {
  const files = readdirSync(join(root, folder)).filter((name) => name.endsWith('.ts'));
  const cases = files.sort().flatMap((file) => readCases(file, readFileSync(join(root, folder, file), 'utf8')));
  const row = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  const rows = (kind: Case['kind'], render: (found: Case) => readonly string[]) =>
    cases.filter((found) => found.kind === kind).map((found) => row(render(found)));
  const test = ({ file }: Case) => `[${file.replace('.ts', '')}](../${folder}/${file})`;
  return `${[
    '# Conformance',
    '',
    `Made by \`node scripts/generate-conformance.ts\` from the cases in \`${folder}\`, which drive the running server over HTTP:`,
    'raw, with fhir-kit-client, fhirclient and the client of @medplum/core. Every FHIR response of the whole test run, of these and',
    "of all other tests that start the server, is validated by the server's own validator, against R4 and against its profile,",
    'and by @medplum/core (`test/support/check-responses.ts`). fhirclient is held at 2.4.0: later ones bring 640 packages.',
    '',
    "That the validator itself is right is shown by R4's published examples, by mutations of them, and by a comparison with",
    '@medplum/core whose differences are listed: `test/fhir/validation/examples.test.ts`. The statement at `/metadata` is held',
    'against the routes, parameters and profiles, both ways, by `test/capability-statement.test.ts`.',
    '',
    '## Served',
    '',
    row(['Requirement', 'Specification', 'Test']),
    row(['---', '---', '---']),
    ...rows('conforms', (found) => [found.what, `[${nameOf(found.link)}](${found.link})`, test(found)]),
    '',
    '## Not served',
    '',
    row(['What', 'Specification', 'Why', 'Test']),
    row(['---', '---', '---', '---']),
    ...rows('notServed', (found) => {
      return [found.what, `[${nameOf(found.link)}](${found.link})`, found.reason ?? '', test(found)];
    }),
  ].join('\n')}\n`;
}

function readCases(file: string, source: string): Case[] {
  const constants = new Map(
    [...source.matchAll(/^const ([A-Za-z]+) = '([^']*)';$/gm)].map(([, name, text]) => [name, text]),
  );
  const textOf = (written: string): string => {
    if (/^[A-Za-z]/.test(written)) return constants.get(written) ?? fail(file, written);
    const inner = written.slice(1, -1);
    if (written.startsWith('`'))
      return inner.replace(/\$\{([A-Za-z]+)\}/g, (_, name) => constants.get(name) ?? fail(file, name));
    return inner.replace(/\\(.)/g, '$1');
  };
  const cases = [...source.matchAll(call)].map(([, link, what, otherLink, otherWhat, reason]): Case => {
    return {
      kind: link === undefined ? 'notServed' : 'conforms',
      link: textOf(link ?? otherLink ?? ''),
      what: textOf(what ?? otherWhat ?? ''),
      reason: reason === undefined ? undefined : textOf(reason),
      file,
    };
  });
  const written = [...source.matchAll(/^ *(?:conforms|notServed)\(/gm)].length;
  if (cases.length !== written) throw new Error(`${file}: only ${cases.length} of ${written} cases could be parsed`);
  return cases;
}

function fail(file: string, name: string): never {
  throw new Error(`${file}: ${name} must be a constant text in the file`);
}

/** Shortens `https://hl7.org/fhir/R4/http.html#read` to `http.html#read`. */
function nameOf(link: string): string {
  return link.replace(/^https:\/\/(hl7\.org\/fhir\/R4\/)?/, '');
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  writeFileSync(join(root, 'docs/conformance.md'), generateConformance());
}
