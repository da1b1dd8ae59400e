import fc from 'fast-check';
import t from 'tap';
import {
  changed,
  type Json,
  outline,
  sampleBundle,
  sampleFlag,
  samplePatient,
  validateBy,
} from '../../profiles/samples.ts';

/** Yields every member of a sample as path and value. */
function members(value: unknown, path = ''): [path: string, value: unknown][] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, item]): [string, unknown][] => {
    const at = path === '' ? name : `${path}.${name}`;
    return [[at, item], ...members(item, at)];
  });
}

/** Returns a value of another JSON type. */
function mistyped(value: unknown): fc.Arbitrary<unknown> {
  const others = [fc.boolean(), fc.integer(), fc.constant(null), fc.constant({ x: 1 }), fc.constant([[]])];
  return fc.oneof(...others, ...(typeof value === 'string' ? [] : [fc.string()]));
}

const required = {
  flag: 'resourceType identifier identifier.0.system identifier.0.value status code code.coding subject period period.start',
  patient: 'resourceType identifier identifier.0.system identifier.0.value name birthDate',
};
const coded = { flag: 'status identifier.0.use code.coding.0.code code.coding.0.system', patient: 'gender name.0.use' };

t.test('property: refuses a valid Flag or Patient with any one error', async () => {
  const samples: ['flag' | 'patient', Json][] = [
    ['flag', sampleFlag],
    ['patient', samplePatient],
  ];
  for (const [profile, sample] of samples) {
    const all = members(sample);
    const objects = [
      '',
      ...all.filter(([, value]) => typeof value === 'object' && !Array.isArray(value)).map(([p]) => `${p}.`),
    ];
    const refused = (resource: Json) => validateBy(profile, resource).length > 0;
    const mutation = fc.oneof(
      fc.constantFrom(...required[profile].split(' ')).map((path) => changed(sample, path, undefined)),
      fc.constantFrom(...all).chain(([path, value]) => mistyped(value).map((wrong) => changed(sample, path, wrong))),
      fc
        .tuple(fc.constantFrom(...coded[profile].split(' ')), fc.string())
        .map(([path, code]) => changed(sample, path, `x${code}`)),
      fc
        .tuple(fc.constantFrom(...objects), fc.string({ minLength: 1 }), fc.jsonValue())
        .map(([at, name, value]) => changed(sample, `${at}z${name.replaceAll('.', '')}`, value)),
      fc
        .constantFrom(...objects)
        .map((at) => changed(sample, `${at}extension`, [{ url: 'u', valueString: 'a', valueInteger: 1 }])),
    );
    fc.assert(fc.property(mutation, refused), { numRuns: 500 });
  }
});

t.test('property: no JSON makes the validator throw or repeat it in diagnostics', async () => {
  const canary = 'zqxcanary';
  const hostile = fc.oneof(fc.jsonValue(), fc.constant({ [canary]: canary }), fc.constant([canary]));
  const names = ['flag', 'patient', 'bundle', 'subscription', 'organization', 'audit-event'];
  const types = ['Flag', 'Patient', 'Bundle', 'Subscription', 'Organization', 'AuditEvent'];
  const flagPaths = members(sampleFlag).map(([path]) => path);
  fc.assert(
    fc.property(hostile, fc.nat(names.length - 1), fc.constantFrom(...flagPaths), (value, index, path) => {
      validateBy(names[index] ?? '', { resourceType: types[index], ...(value as object) });
      const issues = validateBy('flag', changed(sampleFlag, path, value));
      return !issues.some(({ diagnostics }) => diagnostics.includes(canary));
    }),
    { numRuns: 300 },
  );
});

t.test('survives hostile names', async (t) => {
  const text = JSON.stringify(sampleFlag);
  for (const name of ['__proto__', 'constructor', 'toString', 'hasOwnProperty', 'valueOf', '9990000018', 'a/b~c']) {
    const flag = JSON.parse(text.replace('{', `{"${name}":{"polluted":true},`));
    const [issue, ...others] = outline(validateBy('flag', flag));
    t.match(issue, /^Flag(\.(constructor|toString|hasOwnProperty|valueOf))? structure$/, name);
    t.strictSame(others, []);
    const nested = JSON.parse(text.replace('"period":{', `"period":{"${name}":"x",`));
    t.equal(validateBy('flag', nested).length, 1, `${name} in an element`);
  }
  t.equal(Object.hasOwn(Object.prototype, 'polluted'), false);
});

t.test('limits depth, length and number of elements', async (t) => {
  // An algorithm that is not linear would exceed the timeout of the test.
  const huge = 'x'.repeat(10 * 1024 * 1024);
  t.strictSame(outline(validateBy('flag', changed(sampleFlag, 'identifier.0.value', huge))), ['Flag too-long']);
  const long = 'a '.repeat(500_000);
  for (const path of [
    'identifier.0.value',
    'subject.reference',
    'meta.source',
    'meta.profile.0',
    'status',
    'period.start',
  ]) {
    t.ok(validateBy('flag', changed(sampleFlag, path, long)).length > 0, path);
    t.ok(validateBy('flag', changed(sampleFlag, path, '/A'.repeat(500_000))).length > 0, path);
  }
  const backtracking = `http://${'/Aa?'.repeat(250_000)} `;
  t.ok(validateBy('flag', changed(sampleFlag, 'subject.reference', backtracking)).length > 0);
  let deep: unknown = {};
  for (let level = 0; level < 100_000; level++) deep = { extension: [deep] };
  t.strictSame(outline(validateBy('flag', { ...sampleFlag, extension: [deep] })), ['Flag structure']);
  const wide = Object.fromEntries(Array.from({ length: 100_000 }, (_, index) => [`k${index}`, 1]));
  t.strictSame(outline(validateBy('flag', { ...sampleFlag, ...wide })), ['Flag too-costly']);
  const some = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k${index}`, 1]));
  t.equal(validateBy('flag', { ...sampleFlag, ...some }).length, 101, 'a hundred issues, and that there are more');
  const entries = Array.from({ length: 500 }, (_, id) => ({ ...sampleBundle.entry[1], fullUrl: `urn:x:${id}` }));
  t.strictSame(validateBy('bundle', { ...sampleBundle, entry: entries }), [], 'resources in a Bundle are not counted');
});
