/** Validation takes work in proportion to the size of a resource. Work is counted as reads of its members, not timed. */
import fc from 'fast-check';
import t from 'tap';
import { type Json, sampleFlag, samplePatient, validateBase, validateBy } from '../../profiles/samples.ts';

/** Wraps a value so that each read of a member is counted. */
function counted(value: unknown, count: () => void): unknown {
  if (typeof value !== 'object' || value === null) return value;
  const wrapped = new Map<PropertyKey, unknown>();
  return new Proxy(value, {
    get(target, name) {
      count();
      if (!Object.hasOwn(target, name)) return Reflect.get(target, name);
      if (!wrapped.has(name)) wrapped.set(name, counted(Reflect.get(target, name), count));
      return wrapped.get(name);
    },
    ownKeys(target) {
      count();
      return Reflect.ownKeys(target);
    },
  });
}

function sizeOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce((sum: number, member) => sum + sizeOf(member), 1);
}

function readsOf(resource: Json, validate: (resource: Json) => unknown): number {
  let reads = 0;
  validate(counted(resource, () => reads++) as Json);
  return reads;
}

/** FHIRPath reads a resource again for each invariant that it evaluates, up to their maximum. */
const readsPerValue = 400;

const contained = (count: number): Json => ({
  resourceType: 'Patient',
  contained: Array.from({ length: count }, (_, index) => ({
    resourceType: 'Organization',
    id: `o${index}`,
    name: 'x',
  })),
  extension: Array.from({ length: count }, (_, index) => ({ url: 'x', valueReference: { reference: `#o${index}` } })),
});
const times = (count: number, item: unknown): unknown[] => Array.from({ length: count }, () => structuredClone(item));
const families: Readonly<Record<string, (count: number) => Json>> = {
  'contained and referred to': contained,
  'contained and not referred to': (count) => ({ ...contained(count), extension: undefined }),
  periods: (count) => ({
    resourceType: 'Patient',
    extension: times(count, { url: 'x', valuePeriod: { start: '2022', end: '2021' } }),
  }),
  ages: (count) => ({ resourceType: 'Patient', extension: times(count, { url: 'x', valueAge: { value: 1 } }) }),
  'empty elements': (count) => ({ resourceType: 'Patient', extension: times(count, {}) }),
  'contacts without content': (count) => ({ resourceType: 'Patient', contact: times(count, { gender: 'other' }) }),
};

t.test('a resource that is twice as large takes about twice the work', async (t) => {
  for (const [name, build] of Object.entries(families)) {
    // Above the maximum of invariants, so that it does not grow any more.
    const [small, large] = [300, 600].map((count) => readsOf(build(count), (each) => validateBase('Patient', each)));
    t.ok(
      large !== undefined && small !== undefined && large > small && large < 2.5 * small,
      `${name}: ${small} and ${large} reads`,
    );
  }
});

t.test('a known extension within itself is checked once at each level', async (t) => {
  const url = 'https://fhir.hl7.org.uk/StructureDefinition/Extension-UKCore-NHSNumberVerificationStatus';
  const nested = (depth: number): unknown =>
    depth === 0 ? { url, valueString: 'x' } : { url, extension: [nested(depth - 1)] };
  const reads = (depth: number): number =>
    readsOf({ resourceType: 'Patient', extension: [nested(depth)] }, (each) => validateBase('Patient', each));
  t.ok(reads(16) < 3 * reads(8), `${reads(8)} and ${reads(16)} reads`);
});

t.test('property: no resource takes more work than its size allows', async () => {
  const text = fc.constantFrom('#', '#a', 'Patient/1', '2020', '2021-05-05T00:00:00Z', 'x', 'http://x');
  const { value } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { maxDepth: 4, depthSize: 'small' },
      text,
      fc.dictionary(
        fc.constantFrom(
          ...'id url extension contained reference start end value code coding system name period identifier'.split(
            ' ',
          ),
          ...'resourceType valueReference valuePeriod valueAge valueString type meta telecom contact'.split(' '),
        ),
        tie('value'),
        { maxKeys: 6, noNullPrototype: true },
      ),
      fc.array(tie('value'), { maxLength: 8 }),
      fc.tuple(tie('value'), fc.integer({ min: 2, max: 40 })).map(([item, count]) => times(count, item)),
    ),
  }));
  const member = fc.constantFrom(
    'extension',
    'contained',
    'identifier',
    'name',
    'period',
    'code',
    'contact',
    'telecom',
  );
  const resource = fc
    .tuple(
      fc.constantFrom<Json>(sampleFlag, samplePatient),
      fc.dictionary(member, value, { maxKeys: 4, noNullPrototype: true }),
    )
    .map(([sample, members]): Json => ({ ...sample, ...members }));
  fc.assert(
    fc.property(resource, (each) => {
      const type = String(each['resourceType']);
      const allowed = readsPerValue * (sizeOf(each) + 50);
      return [
        readsOf(each, (counted) => validateBy(type.toLowerCase(), counted)),
        readsOf(each, (counted) => validateBase(type, counted)),
      ].every((reads) => reads <= allowed);
    }),
    { numRuns: 200, seed: 20261201 },
  );
});
