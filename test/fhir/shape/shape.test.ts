import fc from 'fast-check';
import t from 'tap';
import { loadDefinitions } from '../../../src/fhir/definitions/load-definitions.ts';
import { FhirFault } from '../../../src/fhir/fault.ts';
import { parseHistoryQuery } from '../../../src/fhir/history/history-query.ts';
import { faultStatus } from '../../../src/fhir/response-status.ts';
import { type Shape, takeShape } from '../../../src/fhir/shape/shape.ts';
import { buildShapeResource } from '../../../src/fhir/shape/shape-resource.ts';
import { finishSteps } from '../../../src/fhir/steps.ts';
import { indentJson as indentInSteps, takePretty } from '../../../src/http/pretty.ts';
import { inTurns } from '../../../src/interactions/yielding/in-turns.ts';

const shapeResource = buildShapeResource(loadDefinitions());
const shaped = (resource: object, shape: Shape) => JSON.parse(shapeResource(JSON.stringify(resource), shape));
const elements = (...names: string[]): Shape => ({ kind: 'elements', names: new Set(names) });
const subsetted = { system: 'http://terminology.hl7.org/CodeSystem/v3-ObservationValue', code: 'SUBSETTED' };

const patient = {
  resourceType: 'Patient',
  id: '9990000018',
  meta: { versionId: '1', tag: [{ code: 'other' }] },
  implicitRules: 'https://example.org/rules',
  language: 'en',
  text: { status: 'empty', div: '<div xmlns="http://www.w3.org/1999/xhtml"/>' },
  extension: [{ url: 'https://example.org/extension', valueBoolean: true }],
  modifierExtension: [{ url: 'https://example.org/modifier', valueBoolean: true }],
  name: [{ family: 'Testchild' }],
  birthDate: '2019-03-04',
  _birthDate: { extension: [{ url: 'https://example.org/time', valueTime: '10:00:00' }] },
  deceasedBoolean: false,
  contact: [{ name: { family: 'Testparent' } }],
  communication: [{ language: { text: 'English' }, preferred: true }],
};
const always = ['resourceType', 'id', 'meta', 'implicitRules', 'modifierExtension'];

t.test('a shape keeps the requested, the mandatory and the modifier elements', async (t) => {
  const keys = (shape: Shape): Set<string> => new Set(Object.keys(shaped(patient, shape)));
  t.strictSame(keys(elements('birthDate')), new Set([...always, 'birthDate', '_birthDate']), 'with what it carries');
  t.strictSame(keys(elements('deceased')), new Set([...always, 'deceasedBoolean']), 'a choice by its name');
  t.strictSame(keys(elements('deceasedBoolean')), new Set([...always, 'deceasedBoolean']), 'and by that of its type');
  t.strictSame(keys({ kind: 'text' }), new Set([...always, 'text']));
  t.strictSame(keys({ kind: 'data' }), new Set(Object.keys(patient).filter((name) => name !== 'text')));
  t.strictSame(keys({ kind: 'summary' }), new Set([...always, 'name', 'birthDate', '_birthDate', 'deceasedBoolean']));
  t.strictSame(shaped(patient, elements('id')).meta, { versionId: '1', tag: [{ code: 'other' }, subsetted] });
  const again = shaped(shaped(patient, elements('id')), elements('id'));
  t.equal(again.meta.tag.length, 2, 'tagged once');

  const event = {
    resourceType: 'AuditEvent',
    type: { code: 'rest' },
    recorded: '2026-01-01T00:00:00Z',
    agent: [{ requestor: true, who: { display: 'x' }, network: { address: '127.0.0.1' } }],
    source: { observer: { display: 'y' }, site: 'z' },
    entity: [{ query: 'R0VU' }],
  };
  t.strictSame(shaped(event, { kind: 'summary' }), {
    resourceType: 'AuditEvent',
    meta: { tag: [subsetted] },
    type: { code: 'rest' },
    recorded: '2026-01-01T00:00:00Z',
    agent: [{ requestor: true, who: { display: 'x' } }],
    source: { observer: { display: 'y' } },
  });
  t.strictSame(Object.keys(shaped(event, elements('outcome'))), [
    'resourceType',
    'meta',
    'type',
    'recorded',
    'agent',
    'source',
  ]);
  const foreign = { resourceType: 'Basic', code: {} };
  t.strictSame(shaped(foreign, elements('id')), foreign, 'a type without a definition is given whole');
});

t.test('property: the parsers of parameters return a value or throw a 400 fault', async (t) => {
  t.same(takeShape([['_summary', 'false']]).shape, undefined);
  t.same(takeShape([['_summary', 'count']]).others, [['_summary', 'count']]);
  const names = fc.oneof(
    fc.constantFrom(
      '_summary',
      '_elements',
      '_since',
      '_at',
      '_count',
      '_pretty',
      '_format',
      '_sort',
      'status',
      '_cursor',
    ),
    fc.string({ maxLength: 8 }),
  );
  const values = fc.oneof(
    fc.constantFrom(
      'true',
      'false',
      'text',
      'data',
      'count',
      'status,period',
      '2026',
      '2026-02-30',
      '0',
      '-1',
      '__proto__',
    ),
    fc.string({ maxLength: 12, unit: 'binary' }),
  );
  const options = { handling: 'strict', defaultCount: 10, maxCount: 20 } as const;
  fc.assert(
    fc.property(fc.array(fc.tuple(names, values), { maxLength: 5 }), (pairs) => {
      for (const parse of [
        () => takeShape(pairs),
        () => takePretty([...pairs]),
        () => {
          const { count, applied } = parseHistoryQuery(pairs, options);
          t.ok(count >= 0 && count <= 20);
          t.ok(applied.every(([name]) => name !== '_cursor'));
        },
      ]) {
        try {
          parse();
        } catch (error) {
          if (!(error instanceof FhirFault) || faultStatus[error.category].code !== 400) throw error;
        }
      }
    }),
    { numRuns: 500 },
  );
});

const indentJson = (text: string): string => finishSteps(indentInSteps(text));

t.test('_pretty: indents as JSON.stringify and keeps the text of each value', async (t) => {
  fc.assert(
    fc.property(fc.json({ noUnicodeString: false }), (text) => {
      const compact = JSON.stringify(JSON.parse(text));
      if (indentJson(compact) !== JSON.stringify(JSON.parse(text), null, 2)) throw new Error(`not so: ${compact}`);
    }),
    { numRuns: 500 },
  );
  t.equal(
    indentJson('{"a":1.10,"b":[],"c":{}}'),
    '{\n  "a": 1.10,\n  "b": [],\n  "c": {}\n}',
    'a number keeps its digits',
  );
  const long = JSON.stringify({ text: 'x"\\'.repeat(1_000_000) });
  t.equal(indentJson(long).length, long.length + 5, 'long texts');
  const list = JSON.stringify(Array.from({ length: 30_000 }, (_, id) => ({ id })));
  let turns = 0;
  let counting = true;
  const count = (): void => {
    turns += 1;
    if (counting) setImmediate(count);
  };
  setImmediate(count);
  t.equal(await inTurns(indentInSteps(list)), JSON.stringify(JSON.parse(list), null, 2));
  counting = false;
  t.ok(turns >= 5, 'others have their turn');
});
