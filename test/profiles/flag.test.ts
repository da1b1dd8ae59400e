import t from 'tap';
import { dueDateExtension } from '../../src/cpis/plan.ts';
import { changed, cpisRoot, outline, sampleFlag, validateBy } from './samples.ts';

t.test('accepts valid Flags', async (t) => {
  const minimal = {
    resourceType: 'Flag',
    identifier: [{ system: 'https://la.example.org/plan', value: '1' }],
    status: 'active',
    code: { coding: [{ system: 'http://snomed.info/sct', code: '818901000000100' }] },
    subject: { reference: 'urn:uuid:0192f5d2-7a3c-7bb1-9a5e-0f1d2c3b4a62' },
    period: { start: '2025-01-31' },
  };
  t.strictSame(validateBy('flag', sampleFlag), []);
  t.strictSame(validateBy('flag', minimal), []);
  t.strictSame(validateBy('flag', changed(sampleFlag, 'status', 'entered-in-error')), [], 'withdrawn with an end');
  t.strictSame(validateBy('flag', changed(minimal, 'status', 'entered-in-error')), [], 'withdrawn without an end');
  const absolute = changed(minimal, 'subject.reference', 'https://cpis.example.org/fhir/Patient/9990000018');
  t.strictSame(validateBy('flag', absolute), []);
  t.strictSame(validateBy('flag', changed(sampleFlag, 'period.end', '2025-01-31')), [], 'ended on the day it began');
});

function manyIdentifiers(count: number): unknown[] {
  return Array.from({ length: count }, (_, i) => ({ system: 'https://la.example.org/plan', value: `${i}` }));
}

/** path, value (undefined: removed) -> `expression code` of all issues. */
const mutations: [path: string, value: unknown, ...expected: string[]][] = [
  ['resourceType', 'Patient', 'Flag.resourceType structure'],
  ['resourceType', undefined, 'Flag.resourceType required'],
  ['id', 'a b', 'Flag.id value'],
  ['_id', { extension: [] }, 'Flag._id structure'],
  ['meta', {}, 'Flag.meta structure'],
  ['meta.tag', [{ code: 'x' }], 'Flag.meta.tag structure'],
  ['meta.security', [{ code: 'R' }], 'Flag.meta.security structure'],
  ['meta.extension', [{ url: 'u', valueString: 'x' }], 'Flag.meta.extension structure'],
  ['meta.project', 'x', 'Flag.meta.project structure'],
  ['meta.lastUpdated', '2026-01-02', 'Flag.meta.lastUpdated value'],
  ['meta.profile', ['a', null], 'Flag.meta.profile[1] structure'],
  ['implicitRules', 'https://x.example', 'Flag.implicitRules structure'],
  ['language', 'en', 'Flag.language structure'],
  ['text', { status: 'generated', div: '<div>x</div>' }, 'Flag.text structure'],
  ['contained', [{ resourceType: 'Patient' }], 'Flag.contained structure'],
  ['extension', [{ url: 'u', valueString: 'x' }], 'Flag.extension[0].url extension', 'Flag invariant'],
  ['extension', [{ url: dueDateExtension, valueDate: '2026-05-01' }], 'Flag invariant'],
  ['modifierExtension', [{ url: 'u', valueString: 'x' }], 'Flag.modifierExtension structure'],
  ['encounter', { reference: 'Encounter/1' }, 'Flag.encounter structure'],
  ['note', [{ text: 'x' }], 'Flag.note structure'],
  ['Jane Doe', 1, 'Flag structure'],
  ['identifier', undefined, 'Flag.identifier required'],
  ['identifier', [], 'Flag.identifier structure'],
  ['identifier', [sampleFlag.identifier[0], sampleFlag.identifier[0]], 'Flag invariant'],
  ['identifier', manyIdentifiers(11), 'Flag.identifier structure'],
  ['identifier.0.system', undefined, 'Flag.identifier[0].system required'],
  ['identifier.0.value', undefined, 'Flag.identifier[0].value required'],
  ['identifier.0.value', 'Jane said that', 'Flag.identifier[0].value value'],
  ['identifier.0.value', 'x'.repeat(65), 'Flag.identifier[0].value too-long'],
  ['identifier.0.use', 'mine', 'Flag.identifier[0].use code-invalid'],
  ['identifier.0.type', { text: 'x' }, 'Flag.identifier[0].type structure'],
  ['identifier.0.assigner', { display: 'x' }, 'Flag.identifier[0].assigner structure'],
  ['status', undefined, 'Flag.status required'],
  ['status', 'open', 'Flag.status code-invalid'],
  ['status', 1, 'Flag.status value'],
  ['status', '', 'Flag.status code-invalid', 'Flag.status value'],
  ['status', null, 'Flag.status structure'],
  ['status', 'active', 'Flag invariant'],
  ['_status', { extension: [{ url: 'u', valueString: 'x' }] }, 'Flag.status structure'],
  ['category', [sampleFlag.category[0], sampleFlag.category[0]], 'Flag.category structure'],
  ['category.0.coding.0.code', 'clinical', 'Flag.category[0].coding[0].code code-invalid'],
  ['category.0.text', 'x', 'Flag.category[0].text structure'],
  ['code', undefined, 'Flag.code required'],
  ['code', [sampleFlag.code], 'Flag.code structure'],
  ['code.text', 'x', 'Flag.code.text structure'],
  ['code.coding', undefined, 'Flag.code structure', 'Flag.code.coding required', 'Flag.code code-invalid'],
  ['code.coding.0.code', '1', 'Flag.code.coding[0].code code-invalid'],
  ['code.coding.0.code', undefined, 'Flag.code.coding[0].code required', 'Flag.code.coding[0].code code-invalid'],
  ['code.coding.0.system', 'http://loinc.org', 'Flag.code.coding[0].system code-invalid'],
  ['code.coding.0.display', 'At risk of harm', 'Flag.code.coding[0].display code-invalid'],
  ['code.coding.0.version', '1', 'Flag.code.coding[0].version structure'],
  ['code.coding.1', sampleFlag.code.coding[0], 'Flag.code.coding structure'],
  ['subject', undefined, 'Flag.subject required'],
  ['subject.reference', undefined, 'Flag.subject.reference required'],
  ['subject.reference', 'Jane Doe', 'Flag.subject.reference value'],
  ['subject.reference', '#p', 'Flag.subject.reference value'],
  ['subject.reference', 'Group/1', 'Flag.subject.reference value', 'Flag.subject.reference value'],
  ['subject.display', 'x', 'Flag.subject.display structure'],
  ['subject.identifier', { value: 'x' }, 'Flag.subject.identifier structure'],
  ['subject.type', 'Group', 'Flag.subject.type value'],
  ['period', undefined, 'Flag.period required'],
  ['period.start', undefined, 'Flag.period.start required'],
  ['period.start', '2025-01', 'Flag.period.start invariant'],
  ['period.start', '2025-01-31T10:00:00Z', 'Flag.period.start invariant'],
  ['period.start', '2025-02-30', 'Flag.period.start value'],
  ['period.start', '31/01/2025', 'Flag.period.start value'],
  ['period.start', '2025-03-01', 'Flag.period invariant'],
  ['period', { start: '2025-01-31' }, 'Flag invariant'],
  ['period.end', '2025', 'Flag.period.end invariant'],
  ['period.end', '2024', 'Flag.period invariant', 'Flag.period.end invariant'],
  ['author.reference', 'Practitioner/1', 'Flag.author.reference value'],
  ['author.display', 'x', 'Flag.author.display structure'],
  ['author.identifier.value', undefined, 'Flag.author.identifier.value required'],
];

t.test("accepts an unborn child's plan with one full expected date of delivery", async (t) => {
  const unborn = changed(sampleFlag, 'code.coding.0', { system: 'http://snomed.info/sct', code: '818901000000100' });
  const withDates = (...dates: readonly string[]) =>
    outline(
      validateBy(
        'flag',
        changed(
          unborn,
          'extension',
          dates.map((valueDate) => ({ url: dueDateExtension, valueDate })),
        ),
      ),
    );
  t.strictSame(withDates('2026-05-01'), []);
  t.strictSame(withDates('2026-05'), ['Flag.extension[0].value invariant']);
  t.strictSame(withDates('2026-05-01', '2026-06-01'), ['Flag.extension structure']);
});

t.test('reports each single change', async (t) => {
  for (const [path, value, ...expected] of mutations) {
    const issues = validateBy('flag', changed(sampleFlag, path, value));
    t.strictSame(outline(issues), expected, `${path} = ${JSON.stringify(value)?.slice(0, 60)}`);
    if (typeof value === 'string' && value.length > 6)
      t.notMatch(JSON.stringify(issues.map((i) => i.diagnostics)), value);
  }
});

t.test('accepts ten identifiers, and refuses thousands without comparing them', async (t) => {
  t.strictSame(validateBy('flag', changed(sampleFlag, 'identifier', manyIdentifiers(10))), []);
  const nineAndOneAgain = [...manyIdentifiers(9), ...manyIdentifiers(1)];
  t.strictSame(outline(validateBy('flag', changed(sampleFlag, 'identifier', nineAndOneAgain))), ['Flag invariant']);
  let reads = 0;
  const identifier = Array.from({ length: 1_500 }, (_, index) => ({
    system: 'https://la.example.org/plan',
    get value() {
      reads += 1;
      return `counted-${index}`;
    },
  }));
  t.strictSame(outline(validateBy('flag', { ...sampleFlag, identifier })), ['Flag.identifier structure']);
  t.ok(reads < 20 * identifier.length, `${reads} reads`);
});

t.test('reports all issues at once, each with its rule', async (t) => {
  const issues = validateBy('flag', {
    ...sampleFlag,
    status: 'active',
    code: { coding: [{ system: 'http://snomed.info/sct', code: '1' }] },
  });
  t.strictSame(outline(issues).sort(), ['Flag invariant', 'Flag.code.coding[0].code code-invalid']);
  const malformed = { ...sampleFlag, status: 'active', text: { status: 'generated' } };
  t.strictSame(
    outline(validateBy('flag', malformed)),
    ['Flag.text structure'],
    'no rule where the structure is not valid',
  );
  const invariant = issues.find(({ code }) => code === 'invariant');
  t.equal(invariant?.severity, 'error');
  t.match(invariant?.diagnostics, /^cpis-flag-1: /);
  t.match(issues.find(({ code }) => code === 'code-invalid')?.diagnostics, `${cpisRoot}/ValueSet/cpis-plan-kind`);
});
