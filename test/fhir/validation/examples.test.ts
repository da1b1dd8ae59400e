import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { buildTree, type ElementNode } from '../../../src/fhir/definitions/element-tree.ts';
import { loadDefinitions } from '../../../src/fhir/definitions/load-definitions.ts';
import { loadProfiles } from '../../../src/fhir/definitions/load-profiles.ts';
import { buildValidator } from '../../../src/fhir/validation/validator.ts';
import { changed, cpisRoot, type Json, profileFolder } from '../../profiles/samples.ts';
import { secondOpinion } from '../../support/second-opinion.ts';
import { makeTempFolder } from '../../support/temp-folder.ts';

const validator = buildValidator({
  definitions: loadDefinitions(),
  profiles: { profiles: new Map(), valueSets: new Map() },
});
const folder = join(import.meta.dirname, 'examples');
const examples = readdirSync(folder)
  .filter((name) => name.endsWith('.json'))
  .map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')) as Json & { resourceType: string });
const typeOf = (resource: Json): string => String(resource['resourceType']);
const exampleOf = (type: string): Json => examples.find((example) => typeOf(example) === type) ?? {};

t.test('the examples of R4 are valid for this and for a second validator', async (t) => {
  t.strictSame(examples.map(typeOf).sort(), ['AuditEvent', 'Flag', 'Organization', 'Patient', 'Subscription']);
  for (const example of examples) {
    t.strictSame(validator.validate(example, typeOf(example)), [], typeOf(example));
    t.strictSame(secondOpinion(example), [], `${typeOf(example)} by @medplum/core`);
  }
});

/** Elements that R4 requires, by type. */
const required: Readonly<Record<string, string>> = {
  AuditEvent: 'type recorded agent agent.1.requestor source source.observer',
  Flag: 'status code subject text.status text.div',
  Organization: 'text.status',
  Patient: 'text.div _birthDate.extension.0.url contact.0.name._family.extension.0.url',
  Subscription: 'status reason criteria channel channel.type',
};

/** Codes with a required binding. */
const coded: Readonly<Record<string, string>> = {
  AuditEvent: 'action outcome text.status',
  Flag: 'status text.status',
  Organization: 'telecom.0.system',
  Patient:
    'gender name.0.use name.2.use telecom.1.system telecom.1.use address.0.use address.0.type identifier.0.use contact.0.gender',
  Subscription: 'status channel.type contact.0.system channel.payload',
};

/** Choice elements, each with another of its types. */
const choices: Readonly<Record<string, readonly [path: string, value: unknown][]>> = {
  Patient: [
    ['deceasedDateTime', '2020'],
    ['_birthDate.extension.0.valueInteger', 1],
    ['contact.0.name._family.extension.0.valueCode', 'VV'],
  ],
};

/** Yields every member of a resource as path and value. */
function members(value: unknown, path = ''): [path: string, value: unknown][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]): [string, unknown][] => {
    const at = path === '' ? name : `${path}.${name}`;
    return [[at, item], ...members(item, at)];
  });
}

/** Converts `contact.0.name._family` to `Patient.contact[0].name.family`. A choice has the name of the choice. */
function fhirPath(type: string, path: string): string {
  const steps = path === '' ? [] : path.split('.');
  const names = steps.map((step) => {
    if (/^\d+$/.test(step)) return `[${step}]`;
    const name = step.replace(/^_/, '').replace(/^(value|deceased)[A-Z].*$/, '$1');
    return `.${name}`;
  });
  return type + names.join('');
}

interface Mutation {
  readonly kind: 'dropped' | 'mistyped' | 'coded' | 'extra' | 'choice' | 'modifier';
  readonly resource: Json;
  /** Place of the error. */
  readonly path: string;
  /** Whether the issue must be exactly at that place, or may be below it. */
  readonly exact: boolean;
}

const otherJson: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  string: fc.oneof(fc.string().map((text) => `x${text}`)),
  number: fc.integer({ min: 1 }),
  boolean: fc.boolean(),
  object: fc.constant({ zz: 1 }),
  array: fc.constant([[]]),
  null: fc.constant(null),
};

function jsonTypeOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : value === null ? 'null' : typeof value;
}

function mutationsOf(example: Json): fc.Arbitrary<Mutation> {
  const type = typeOf(example);
  const at = (path: string) => fhirPath(type, path);
  const all = members(example).filter(([path]) => path !== 'resourceType');
  const objects = ['', ...all.filter(([, value]) => jsonTypeOf(value) === 'object').map(([path]) => path)];
  const within = (path: string, name: string) => (path === '' ? name : `${path}.${name}`);
  const words = (table: Readonly<Record<string, string>>) => fc.constantFrom(...(table[type] ?? '').split(' '));
  const mistyped = fc.constantFrom(...all).chain(([path, value]) => {
    const others = Object.entries(otherJson).filter(([name]) => name !== jsonTypeOf(value));
    return fc.oneof(...others.map(([, json]) => json)).map((wrong): Mutation => {
      return { kind: 'mistyped', resource: changed(example, path, wrong), path: at(path), exact: false };
    });
  });
  const known = choices[type];
  return fc.oneof(
    words(required).map((path): Mutation => {
      return { kind: 'dropped', resource: changed(example, path, undefined), path: at(path), exact: true };
    }),
    mistyped,
    fc.tuple(words(coded), fc.string({ unit: 'grapheme-ascii' })).map(([path, text]): Mutation => {
      return {
        kind: 'coded',
        resource: changed(example, path, `x${text.trim().replaceAll('/', '')}`),
        path: at(path),
        exact: true,
      };
    }),
    fc
      .tuple(fc.constantFrom(...objects), fc.stringMatching(/^z[a-zA-Z0-9]{1,8}$/), fc.jsonValue())
      .map(([path, name, value]): Mutation => {
        const resource = changed(example, within(path, name), value);
        return { kind: 'extra', resource, path: at(within(path, name)), exact: true };
      }),
    fc.constantFrom(...objects).map((path): Mutation => {
      const extension = within(path, 'extension');
      const resource = changed(example, extension, [{ url: 'urn:x', valueString: 'a', valueInteger: 1 }]);
      return { kind: 'choice', resource, path: `${at(extension)}[0].value`, exact: true };
    }),
    ...(known === undefined
      ? []
      : [
          fc.constantFrom(...known).map(([path, value]): Mutation => {
            return { kind: 'choice', resource: changed(example, path, value), path: at(path), exact: true };
          }),
        ]),
    fc.constant<Mutation>({
      kind: 'modifier',
      resource: changed(example, 'modifierExtension', [{ url: 'urn:x', valueBoolean: true }]),
      path: at('modifierExtension.0.url'),
      exact: true,
    }),
  );
}

t.test('property: an error in an example is reported at its place', async () => {
  for (const example of examples) {
    fc.assert(
      fc.property(mutationsOf(example), ({ resource, path, exact }) => {
        const issues = validator.validate(resource, typeOf(example));
        const places = issues.filter(({ severity }) => severity === 'error').map(({ expression }) => expression?.[0]);
        return places.some((place) => place === path || (!exact && place?.startsWith(path)));
      }),
      { numRuns: 400 },
    );
  }
});

/** Resources that @medplum/core accepts and this validator refuses, with the reason. */
const differences: readonly {
  readonly rule: string;
  readonly holds: (mutation: Mutation, codes: string[]) => boolean;
}[] = [
  {
    rule: 'a code outside a required binding: it asks a terminology server, and has none here',
    holds: ({ kind }, codes) => kind === 'coded' && codes.includes('code-invalid'),
  },
  {
    rule: 'two types of one choice: it looks at the first it finds (R4 formats: a choice has one value)',
    holds: ({ kind }) => kind === 'choice',
  },
  {
    rule: 'another JSON type where an object is asked for: it looks at the members of objects only',
    holds: ({ kind }, codes) => kind === 'mistyped' && codes.includes('structure'),
  },
  {
    rule: 'an unknown modifierExtension: R4 forbids to process what it stands in (extensibility.html)',
    holds: ({ kind }, codes) => kind === 'modifier' && codes.includes('extension'),
  },
];

t.test('a second validator agrees, with explained exceptions', async (t) => {
  const seen = new Set<string>();
  for (const example of examples) {
    for (const mutation of fc.sample(mutationsOf(example), { numRuns: 300, seed: 4 })) {
      const issues = validator.validate(mutation.resource, typeOf(example));
      if (secondOpinion(mutation.resource).length > 0) {
        if (issues.length === 0) t.fail(`refused by the second validator only: ${mutation.path}`);
        continue;
      }
      const codes = issues.map(({ code }) => code);
      const difference = differences.find(({ holds }) => holds(mutation, codes));
      if (difference === undefined) t.fail(`refused by us only: ${mutation.kind} ${mutation.path} ${codes}`);
      else seen.add(difference.rule);
    }
  }
  t.strictSame([...seen].sort(), differences.map(({ rule }) => rule).sort(), 'each difference is still one');
});

t.test('handles invariants that FHIRPath cannot decide, and contained resources', async (t) => {
  const flag = exampleOf('Flag');
  const outlineOf = (resource: Json) =>
    validator.validate(resource, typeOf(resource)).map(({ code, expression }) => `${expression?.[0]} ${code}`);
  const withPeriod = (start: string, end: string) => outlineOf(changed(flag, 'period', { start, end }));
  for (const [start, end] of [
    ['2012', '2012-05'],
    ['2012-05', '2012'],
    ['2012-05-01', '2012-05-01T10:00:00Z'],
    ['2012-05-01T23:30:00-05:00', '2012-05-01'],
  ] as const) {
    t.strictSame(withPeriod(start, end), [], `${start} may be before ${end}`);
  }
  for (const [start, end] of [
    ['2013', '2012-05'],
    ['2012-05-02', '2012-05-01'],
    ['2012-05-01T10:00:00Z', '2012-05-01T09:59:59Z'],
  ] as const) {
    t.strictSame(withPeriod(start, end), ['Flag.period invariant'], `${start} is not before ${end}`);
  }
  const containing = (contained: Json) => ({ ...flag, contained: [contained], author: { reference: '#a' } });
  t.strictSame(outlineOf(containing({ resourceType: 'Organization', id: 'a', name: 'A' })), []);
  t.strictSame(outlineOf(containing({ resourceType: 'Practitioner', id: 'a', anything: 1 })), []);
  t.strictSame(outlineOf(containing({ resourceType: 'Organization', id: 'a', name: 1, telecom: [{ use: 'x' }] })), [
    'Flag.contained[0].name value',
    'Flag.contained[0].telecom[0].use code-invalid',
  ]);
  t.strictSame(outlineOf(containing({ resourceType: 'Organization', id: 'a' })), ['Flag.contained[0] invariant']);
});

t.test('an extension is validated by its definition, and a profile may allow only certain extensions', async (t) => {
  const root = 'http://hl7.org/fhir/StructureDefinition/';
  const define = (id: string, type: string, element: readonly unknown[]) => ({
    resourceType: 'StructureDefinition',
    id,
    url: `urn:test:${id}`,
    type,
    baseDefinition: root + type,
    derivation: 'constraint',
    differential: { element },
  });
  const files = makeTempFolder(t);
  const put = (definition: { id: string }) =>
    writeFileSync(join(files, `${definition.id}.json`), JSON.stringify(definition));
  put(
    define('until', 'Extension', [
      { path: 'Extension.url', fixedUri: 'urn:test:until' },
      { path: 'Extension.extension', max: '0' },
      { path: 'Extension.value[x]', min: 1, type: [{ code: 'date' }] },
    ]),
  );
  const only = [{ code: 'Extension', profile: ['urn:test:until'] }];
  put(define('flag', 'Flag', [{ path: 'Flag.period.extension', max: '1', type: only }]));
  const definitions = loadDefinitions();
  const own = buildValidator({ definitions, profiles: loadProfiles(files, definitions) });
  const outlineOf = (path: string, extension: Json, by: string) =>
    own
      .validate(changed(exampleOf('Flag'), path, [extension]), by)
      .map(({ code, expression }) => `${expression?.[0]} ${code}`);
  const until = { url: 'urn:test:until', valueDate: '2026-01-02' };
  t.strictSame(outlineOf('period.extension', until, 'urn:test:flag'), []);
  t.strictSame(outlineOf('period.extension', { ...until, url: 'urn:x' }, 'urn:test:flag'), [
    'Flag.period.extension[0].url extension',
  ]);
  t.strictSame(outlineOf('period.extension', { url: 'urn:test:until', valueString: 'x' }, 'urn:test:flag'), [
    'Flag.period.extension[0].value structure',
    'Flag.period.extension[0].value required',
  ]);
  t.strictSame(outlineOf('modifierExtension', until, 'Flag'), [], 'known, by the base too');
  t.strictSame(outlineOf('extension', { ...until, id: 1, valueDate: '2026-13-02' }, 'Flag').sort(), [
    'Flag.extension[0].id value',
    'Flag.extension[0].value value',
  ]);
  t.strictSame(outlineOf('extension', { url: 'urn:x', valueString: 'x' }, 'Flag'), [], 'not known');
  put(define('flag', 'Flag', [{ path: 'Flag.extension', type: [{ code: 'Extension', profile: ['urn:x'] }] }]));
  t.throws(() => loadProfiles(files, definitions), /names an extension without a definition/);
});

t.test('no profile allows a decimal, whose digits JSON numbers would lose', async (t) => {
  const definitions = loadDefinitions();
  const { profiles } = loadProfiles(profileFolder, definitions);
  const decimals = (node: ElementNode, above: readonly string[] = []): string[] => {
    if (node.max === 0) return [];
    if (node.types.some(({ code }) => code === 'decimal')) return [node.path];
    const extensions = node.types.flatMap((type) => type.profiles ?? []);
    const codes = node.types.map(({ code }) => code).filter((code) => !above.includes(code));
    const trees =
      node.children !== undefined
        ? [node]
        : extensions.length > 0
          ? extensions.flatMap((url) => profiles.get(url)?.tree ?? [])
          : codes.filter((code) => definitions.types.has(code)).map((code) => buildTree(definitions, code));
    const below = [...above, ...codes];
    return trees.flatMap((tree) => [...(tree.children?.values() ?? [])].flatMap((child) => decimals(child, below)));
  };
  for (const type of ['flag', 'patient', 'subscription']) {
    const profile = profiles.get(`${cpisRoot}/StructureDefinition/cpis-${type}`);
    t.strictSame(profile === undefined ? ['no profile'] : decimals(profile.tree), [], type);
  }
  t.ok(decimals(buildTree(definitions, 'Patient')).length > 0, 'it finds those of R4');
});
