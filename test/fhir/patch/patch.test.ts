/** Follows the test cases of https://hl7.org/fhir/R4/fhirpatch.html and https://www.rfc-editor.org/rfc/rfc6902 */
import fc from 'fast-check';
import t from 'tap';
import { loadDefinitions } from '../../../src/fhir/definitions/load-definitions.ts';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { parsePatch } from '../../../src/fhir/patch/parse-patch.ts';
import { finishSteps } from '../../../src/fhir/steps.ts';
import { statusOf } from '../../support/status-of.ts';

type Json = Record<string, unknown>;

const definitions = loadDefinitions();
const kept = ['resourceType', 'id', 'meta'];
const patch = (resource: Json, document: unknown): Json =>
  finishSteps(finishSteps(parsePatch(document, kept, definitions))(resource));

/** Returns the category and expression of the fault of a refused patch. */
function refusal(resource: Json, document: unknown): { status: number | undefined; expression: readonly string[] } {
  const before = JSON.stringify(resource);
  try {
    patch(resource, document);
  } catch (error) {
    if (!(error instanceof FhirFault)) throw error;
    if (JSON.stringify(resource) !== before) throw new Error('a refused patch left something behind');
    return { status: statusOf(error), expression: error.issues[0]?.expression ?? [] };
  }
  throw new Error(`accepted: ${JSON.stringify(document)}`);
}

/** Builds a part of an operation. Numbers become integers; objects name their value. */
const part = (name: string, value: string | number | Json): Json => ({
  name,
  ...(typeof value === 'string'
    ? name === 'type'
      ? { valueCode: value }
      : { valueString: value }
    : typeof value === 'number'
      ? { valueInteger: value }
      : value),
});
const parameters = (...operations: Record<string, string | number | Json>[]): Json => ({
  resourceType: 'Parameters',
  parameter: operations.map((operation) => ({
    name: 'operation',
    part: Object.entries(operation).map(([name, value]) => part(name, value)),
  })),
});
const patient = (members: Json): Json => ({ resourceType: 'Patient', id: 'p', ...members });
const ids = (...values: string[]) => values.map((value) => ({ system: 'http://example.org', value }));
const contact = { relationship: [{ text: 'mother' }], name: { family: 'Test' } };
const [a = {}, b = {}, c = {}, d = {}] = ids('a', 'b', 'c', 'd') as Json[];

t.test('FHIRPath Patch: applies the five operations', async (t) => {
  const cases: [name: string, before: Json, operations: Record<string, string | number | Json>[], after: Json][] = [
    ['no operation', { birthDate: '1920-01-01' }, [], { birthDate: '1920-01-01' }],
    [
      'replace a primitive',
      { birthDate: '1920-01-01' },
      [{ type: 'replace', path: 'Patient.birthDate', value: { valueDate: '1930-01-01' } }],
      { birthDate: '1930-01-01' },
    ],
    [
      'delete a primitive',
      { birthDate: '1920-01-01', active: true },
      [{ type: 'delete', path: 'Patient.birthDate' }],
      { active: true },
    ],
    ['delete what is not there', { active: true }, [{ type: 'delete', path: 'Patient.birthDate' }], { active: true }],
    [
      'add a primitive',
      {},
      [{ type: 'add', path: 'Patient', name: 'birthDate', value: { valueDate: '1930-01-01' } }],
      { birthDate: '1930-01-01' },
    ],
    [
      'delete and add in one patch',
      { birthDate: '1920-01-01', active: true },
      [
        { type: 'delete', path: 'Patient.birthDate' },
        { type: 'add', path: 'Patient', name: 'birthDate', value: { valueDate: '1930-01-01' } },
      ],
      { active: true, birthDate: '1930-01-01' },
    ],
    [
      'replace within a list, and by a nested path',
      { contact: [{ name: { text: 'a name' }, gender: 'male' }] },
      [
        { type: 'replace', path: 'Patient.contact[0].name.text', value: { valueString: 'the name' } },
        { type: 'replace', path: 'Patient.contact[0].gender', value: { valueCode: 'female' } },
      ],
      { contact: [{ name: { text: 'the name' }, gender: 'female' }] },
    ],
    [
      'add a backbone element by its parts',
      {},
      [
        {
          type: 'add',
          path: 'Patient',
          name: 'contact',
          value: {
            part: [
              { name: 'relationship', valueCodeableConcept: { text: 'mother' } },
              { name: 'name', part: [{ name: 'family', valueString: 'Test' }] },
            ],
          },
        },
      ],
      { contact: [contact] },
    ],
    [
      'add to a list',
      { identifier: [a] },
      [{ type: 'add', path: 'Patient', name: 'identifier', value: { valueIdentifier: b } }],
      { identifier: [a, b] },
    ],
    [
      'insert at the start, within and at the end of a list',
      { identifier: [b] },
      [
        { type: 'insert', path: 'Patient.identifier', index: 0, value: { valueIdentifier: a } },
        { type: 'insert', path: 'Patient.identifier', index: 2, value: { valueIdentifier: d } },
        { type: 'insert', path: 'identifier', index: 2, value: { valueIdentifier: c } },
      ],
      { identifier: [a, b, c, d] },
    ],
    [
      'insert into an empty list',
      { name: [{ family: 'Test' }] },
      [
        { type: 'insert', path: 'Patient.identifier', index: 0, value: { valueIdentifier: a } },
        { type: 'insert', path: "name.where(family = 'Test').given", index: 0, value: { valueString: 'Ada' } },
      ],
      { name: [{ family: 'Test', given: ['Ada'] }], identifier: [a] },
    ],
    [
      'delete from a list, and its last element',
      { identifier: [a, b, c], name: [{ given: ['Ada'] }] },
      [
        { type: 'delete', path: 'Patient.identifier[1]' },
        { type: 'delete', path: 'Patient.name[0].given[0]' },
      ],
      { identifier: [a, c] },
    ],
    [
      'move forward, back and not at all',
      { identifier: [a, b, c, d] },
      [
        { type: 'move', path: 'Patient.identifier', source: 3, destination: 1 },
        { type: 'move', path: 'Patient.identifier', source: 0, destination: 3 },
        { type: 'move', path: 'Patient.identifier', source: 1, destination: 1 },
      ],
      { identifier: [d, b, c, a] },
    ],
    [
      'a choice takes the name of its type',
      { deceasedBoolean: true, extension: [{ url: 'http://example.org/x', valueString: 'x' }] },
      [
        { type: 'replace', path: 'Patient.deceased', value: { valueDateTime: '2020-01-01' } },
        { type: 'add', path: 'Patient', name: 'multipleBirth', value: { valueInteger: 2 } },
        { type: 'replace', path: "Patient.extension('http://example.org/x').value", value: { valueCode: 'y' } },
      ],
      {
        extension: [{ url: 'http://example.org/x', valueCode: 'y' }],
        deceasedDateTime: '2020-01-01',
        multipleBirthInteger: 2,
      },
    ],
    [
      'what stands beside a primitive keeps its place',
      { name: [{ given: ['a', 'b'], _given: [null, { id: 'second' }] }], _birthDate: { id: 'd' } },
      [
        { type: 'insert', path: 'name.given', index: 0, value: { valueString: 'z' } },
        { type: 'move', path: 'Patient.name[0].given', source: 2, destination: 0 },
        {
          type: 'add',
          path: 'birthDate',
          name: 'extension',
          value: { valueExtension: { url: 'http://example.org/x', valueCode: 'x' } },
        },
      ],
      {
        name: [{ given: ['b', 'z', 'a'], _given: [{ id: 'second' }, null, null] }],
        _birthDate: { id: 'd', extension: [{ url: 'http://example.org/x', valueCode: 'x' }] },
      },
    ],
  ];
  for (const [name, before, operations, after] of cases) {
    t.strictSame(patch(patient(before), parameters(...operations)), patient(after), name);
  }
});

t.test('FHIRPath Patch: a patch that does not apply is a 422 at its operation and changes nothing', async (t) => {
  const before = patient({ identifier: [a, b], birthDate: '1920-01-01', name: [{ given: ['Ada'] }, { family: 'T' }] });
  const cases: Record<string, string | number | Json>[] = [
    { type: 'replace', path: 'Patient.gender', value: { valueCode: 'male' } },
    { type: 'replace', path: 'Patient.identifier', value: { valueIdentifier: c } },
    { type: 'replace', path: 'Patient', value: { valueString: 'x' } },
    { type: 'delete', path: 'Patient.identifier' },
    { type: 'delete', path: 'Patient' },
    { type: 'delete', path: 'name.exists()' },
    { type: 'add', path: 'Patient', name: 'birthDate', value: { valueDate: '1930-01-01' } },
    { type: 'add', path: 'Patient', name: 'nonsense', value: { valueString: 'x' } },
    { type: 'add', path: 'Patient', name: 'deceased', value: { valueString: 'x' } },
    { type: 'add', path: 'Patient.contact', name: 'gender', value: { valueCode: 'male' } },
    { type: 'add', path: 'Patient', name: 'contact', value: { part: [{ name: 'nonsense', valueString: 'x' }] } },
    { type: 'insert', path: 'Patient.identifier', index: 3, value: { valueIdentifier: c } },
    { type: 'insert', path: 'Patient.contact', index: 1, value: { part: [{ name: 'gender', valueCode: 'male' }] } },
    { type: 'insert', path: 'Patient.birthDate', index: 0, value: { valueDate: '1930-01-01' } },
    { type: 'insert', path: "Patient.identifier.where(value = 'a')", index: 0, value: { valueIdentifier: c } },
    { type: 'move', path: 'Patient.identifier', source: 2, destination: 0 },
    { type: 'move', path: 'Patient.identifier', source: 0, destination: 2 },
    { type: 'move', path: 'Patient.contact', source: 0, destination: 0 },
    { type: 'replace', path: 'Patient.id', value: { valueId: 'other' } },
    { type: 'add', path: 'Patient', name: 'meta', value: { valueMeta: { versionId: '7' } } },
  ];
  const first = { type: 'replace', path: 'Patient.birthDate', value: { valueDate: '1921-01-01' } };
  for (const operation of cases) {
    const { status, expression } = refusal(before, parameters(first, operation));
    t.equal(status, 422, JSON.stringify(operation));
    t.match(expression[0], /^(Parameters\.parameter\[1\]|Patient\.(id|meta))$/);
  }
});

t.test('FHIRPath Patch: checks all operations before it applies one', async (t) => {
  const good = { type: 'replace', path: 'Patient.birthDate', value: { valueDate: '1930-01-01' } };
  const [operation] = parameters(good)['parameter'] as [Json];
  const bad: unknown[] = [
    { resourceType: 'Patient' },
    'text',
    null,
    { resourceType: 'Parameters', parameter: {} },
    { resourceType: 'Parameters', parameter: [null] },
    { resourceType: 'Parameters', parameter: [{ ...operation, name: 'nonsense' }] },
    { resourceType: 'Parameters', parameter: [{ ...operation, valueString: 'x' }] },
    {
      resourceType: 'Parameters',
      parameter: [{ name: 'operation', part: [...(operation['part'] as []), part('path', 'x')] }],
    },
    parameters({ ...good, type: 'upsert' }),
    parameters({ ...good, type: 'toString' }),
    parameters({ ...good, index: 1 }),
    parameters({ ...good, path: 1 }),
    parameters({ type: 'replace', path: 'Patient.birthDate' }),
    parameters({ type: 'add', path: 'Patient', value: { valueString: 'x' } }),
    parameters({ type: 'add', path: 'Patient', name: 'a.b', value: { valueString: 'x' } }),
    parameters({ type: 'insert', path: 'Patient.identifier', index: -1, value: { valueIdentifier: a } }),
    parameters({ type: 'insert', path: 'Patient.identifier', index: 0.5, value: { valueIdentifier: a } }),
    parameters({ type: 'move', path: 'Patient.identifier', source: 0 }),
    parameters({ ...good, value: { valueDate: 'x', valueString: 'y' } }),
    parameters({ ...good, value: { part: [] } }),
    parameters({ ...good, value: {} }),
    parameters(...Array.from({ length: 51 }, () => good)),
    ...[
      '',
      'Patient.',
      'Patient.name[',
      'a'.repeat(300),
      '%resource.name',
      "name.given.matches('(a+)+$')",
      "name.given.replaceMatches('a', 'b')",
      'repeat(contact)',
      'descendants()',
      "trace('x')",
      'name | identifier',
      'name.resolve()',
      '1 + 1',
      'name ~ name',
      `identifier${'[0]'.repeat(5)}`,
      `identifier${".where(value != '')".repeat(5)}`,
    ].map((path) => parameters({ ...good, path })),
  ];
  for (const document of bad)
    t.equal(refusal(patient({}), document).status, 400, JSON.stringify(document).slice(0, 90));
});

t.test('JSON Patch: applies the operations of RFC 6902', async (t) => {
  const before = patient({ identifier: [a, b], name: [{ family: 'Test', given: ['Ada'] }], active: true });
  const after = patch(before, [
    { op: 'test', path: '/name/0/given/0', value: 'Ada' },
    { op: 'test', path: '/identifier/0', value: { value: 'a', system: 'http://example.org' } },
    { op: 'replace', path: '/name/0/family', value: 'Other', unknown: 'ignored' },
    { op: 'add', path: '/name/0/given/-', value: 'Bea' },
    { op: 'add', path: '/name/0/given/0', value: 'Zoe' },
    { op: 'copy', from: '/identifier/0', path: '/identifier/2' },
    { op: 'move', from: '/identifier/1', path: '/identifier/0' },
    { op: 'remove', path: '/active' },
    { op: 'add', path: '/gender', value: 'female' },
    { op: 'test', path: '/id', value: 'p' },
  ]);
  t.strictSame(
    after,
    patient({ identifier: [b, a, a], name: [{ family: 'Other', given: ['Zoe', 'Ada', 'Bea'] }], gender: 'female' }),
  );
  t.strictSame(before['active'], true, 'what was given stays as it is');
  t.strictSame(
    patch(patient({ name: [{ family: 'a/b~c' }] }), [{ op: 'add', path: '/x~1y~0z', value: 1 }])['x/y~z'],
    1,
  );

  const first = { op: 'remove', path: '/active' };
  const unapplied: Json[] = [
    { op: 'test', path: '/name/0/family', value: 'Other' },
    { op: 'test', path: '/nothing', value: 'Other' },
    { op: 'test', path: '/active', value: true },
    { op: 'remove', path: '/nothing' },
    { op: 'remove', path: '/identifier/2' },
    { op: 'remove', path: '/identifier/-' },
    { op: 'replace', path: '/identifier/2', value: a },
    { op: 'replace', path: '/nothing', value: a },
    { op: 'add', path: '/identifier/3', value: a },
    { op: 'add', path: '/identifier/x', value: a },
    { op: 'add', path: '/nothing/more', value: a },
    { op: 'add', path: '/gender/more', value: a },
    { op: 'copy', from: '/nothing', path: '/identifier/0' },
    { op: 'copy', from: '/identifier/0', path: '/identifier/9' },
    { op: 'move', from: '/identifier/0', path: '/identifier/2' },
    { op: 'remove', path: '' },
    { op: 'replace', path: '', value: 'text' },
    { op: 'replace', path: '', value: null },
    { op: 'replace', path: '', value: { resourceType: 'Patient' } },
    { op: 'replace', path: '/id', value: 'q' },
    { op: 'remove', path: '/id' },
    { op: 'replace', path: '/resourceType', value: 'Flag' },
    { op: 'add', path: '/meta', value: { versionId: '7' } },
    { op: 'add', path: '/_id', value: { id: 'x' } },
  ];
  for (const operation of unapplied)
    t.equal(refusal(before, [first, operation]).status, 422, JSON.stringify(operation));

  const malformed: unknown[] = [
    [null],
    ['remove'],
    [[]],
    [{}],
    [{ op: 'remove' }],
    [{ op: 'remove', path: 'active' }],
    [{ op: 'remove', path: '/a~2' }],
    [{ op: 'remove', path: 1 }],
    [{ op: 'add', path: '/active' }],
    [{ op: '_get', path: '/active' }],
    [{ op: 'toString', path: '/active' }],
    [{ op: 'copy', path: '/active' }],
    [{ op: 'move', from: '/name', path: '/name/0/x' }],
    [{ op: 'add', path: '/__proto__/x', value: 1 }],
    [{ op: 'add', path: '/constructor/prototype/x', value: 1 }],
    [{ op: 'copy', from: '/toString', path: '/x' }],
    [{ op: 'remove', path: '/identifier/01' }],
    [first, { op: 'nonsense', path: '/active' }],
    Array.from({ length: 51 }, () => ({ op: 'test', path: '/active', value: true })),
  ];
  for (const document of malformed)
    t.equal(refusal(before, document).status, 400, JSON.stringify(document).slice(0, 90));
  t.notOk('x' in {}, 'nothing of it reached every object');
});

t.test('a patch cannot make a resource grow without limit', async (t) => {
  const doubling = [
    { op: 'add', path: '/extension', value: ids('a', 'b', 'c', 'd') },
    ...Array.from({ length: 40 }, () => ({ op: 'copy', from: '/extension', path: '/extension/-' })),
  ];
  t.equal(refusal(patient({}), doubling).status, 422);
  const deep = Array.from({ length: 49 }, () => ({ op: 'copy', from: '/name', path: '/name/0/x' }));
  t.equal(refusal(patient({ name: [{}] }), deep).status, 422);
});

t.test('property: a patch returns a resource or a fault, and does not change its input', async () => {
  const resource = patient({ identifier: [a, b], name: [{ given: ['Ada', 'Bea'], family: 'Test' }], active: true });
  const before = JSON.stringify(resource);
  const pointer = fc
    .array(fc.constantFrom('identifier', 'name', 'given', '0', '1', '-', 'family', 'x', ''), { maxLength: 4 })
    .map((tokens) => tokens.map((token) => `/${token}`).join(''));
  const jsonOperation = fc.record({
    op: fc.constantFrom('add', 'remove', 'replace', 'move', 'copy', 'test'),
    path: pointer,
    from: pointer,
    value: fc.jsonValue({ maxDepth: 2 }),
  });
  const path = fc
    .array(
      fc.constantFrom(
        'Patient',
        'name',
        'given',
        'identifier',
        '[0]',
        '[1]',
        '.',
        '.',
        "where(use='x')",
        'first()',
        'family',
        'active',
      ),
      { maxLength: 7 },
    )
    .map((texts) => texts.join(''));
  const fhirPathOperation = fc.record({
    type: fc.constantFrom('add', 'insert', 'delete', 'replace', 'move'),
    path,
    name: fc.constantFrom('given', 'identifier', 'active', 'x'),
    index: fc.integer({ min: -1, max: 3 }),
    source: fc.nat({ max: 3 }),
    destination: fc.nat({ max: 3 }),
    value: fc.constantFrom(
      { valueString: 'x' },
      { valueIdentifier: a },
      { part: [{ name: 'family', valueString: 'y' }] },
    ),
  });
  const takes: Record<string, string[]> = {
    add: ['name', 'value'],
    insert: ['index', 'value'],
    delete: [],
    replace: ['value'],
    move: ['source', 'destination'],
  };
  const trimmed = fhirPathOperation.map(
    (operation) =>
      Object.fromEntries(
        Object.entries(operation).filter(([name]) => ['type', 'path', ...(takes[operation.type] ?? [])].includes(name)),
      ) as Record<string, string | number | Json>,
  );
  fc.assert(
    fc.property(
      fc.oneof(
        fc.array(jsonOperation, { maxLength: 4 }),
        fc.array(trimmed, { maxLength: 3 }).map((operations) => parameters(...operations)),
      ),
      (document) => {
        try {
          patch(resource, document);
        } catch (error) {
          if (!(error instanceof FhirFault)) throw error;
        }
        return JSON.stringify(resource) === before;
      },
    ),
    { numRuns: 2_000 },
  );
});
