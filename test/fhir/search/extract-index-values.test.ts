import { test } from 'tap';
import type { IndexValue } from '../../../src/fhir/search/ast.ts';
import { earliestMs, latestMs } from '../../../src/fhir/search/date.ts';
import { extractIndexValues } from '../../../src/fhir/search/extract-index-values.ts';
import { baseUrl, definitions } from '../../support/search-fixture.ts';

function extract(resource: { resourceType: string; [name: string]: unknown }, ...params: string[]): IndexValue[] {
  return extractIndexValues(resource, definitions, {
    baseUrl,
    ...(params.length === 0 ? {} : { params: new Set(params) }),
  });
}

const flag = {
  resourceType: 'Flag',
  identifier: [{ system: 'https://la.example.org/plan', value: 'CPP-1' }, { value: 'no-system' }, { system: 'x' }],
  status: 'active',
  code: {
    coding: [{ system: 'http://snomed.info/sct', code: '342191000000101' }, { display: 'no code' }],
    text: 'Child protection plan',
  },
  subject: {
    reference: `${baseUrl}/Patient/9990000018`,
    identifier: { system: 'https://fhir.nhs.uk/Id/nhs-number', value: '9990000018' },
  },
  author: { reference: 'Organization/E08000035' },
  period: { start: '2024-05-06', end: '2025-01' },
};

test('Flag', async (t) => {
  t.strictSame(extract(flag), [
    { kind: 'reference', param: 'author', type: 'Organization', id: 'E08000035' },
    { kind: 'date', param: 'date', startMs: Date.UTC(2024, 4, 6), endMs: Date.UTC(2025, 1, 1) },
    { kind: 'token', param: 'identifier', system: 'https://la.example.org/plan', code: 'CPP-1' },
    { kind: 'token', param: 'identifier', system: null, code: 'no-system' },
    { kind: 'reference', param: 'patient', type: 'Patient', id: '9990000018' },
    {
      kind: 'reference-identifier',
      param: 'patient',
      system: 'https://fhir.nhs.uk/Id/nhs-number',
      value: '9990000018',
    },
    { kind: 'reference', param: 'subject', type: 'Patient', id: '9990000018' },
    {
      kind: 'reference-identifier',
      param: 'subject',
      system: 'https://fhir.nhs.uk/Id/nhs-number',
      value: '9990000018',
    },
    { kind: 'token', param: 'code', system: 'http://snomed.info/sct', code: '342191000000101' },
    { kind: 'string', param: 'code:text', normalised: 'no code', exact: 'no code' },
    { kind: 'string', param: 'code:text', normalised: 'child protection plan', exact: 'Child protection plan' },
    { kind: 'token', param: 'status', system: 'http://hl7.org/fhir/flag-status', code: 'active' },
  ]);
  t.strictSame(
    extract(flag, 'status').map((value) => value.param),
    ['status'],
    'only what is asked for',
  );
});

test('the texts of tokens, and typed identifiers', async (t) => {
  const type = { coding: [{ system: 'http://t', code: 'MR', display: 'Medical Récord' }, { code: 'X' }], text: 'Ours' };
  const text = (param: string, normalised: string, exact: string) => ({ kind: 'string', param, normalised, exact });
  t.strictSame(
    extract({ resourceType: 'Flag', identifier: [{ type, system: 's', value: 'v' }, { type: { text: 'T' } }] }),
    [
      { kind: 'token', param: 'identifier', system: 's', code: 'v' },
      { kind: 'token', param: 'identifier:of-type', system: 'http://t|MR', code: 'v' },
      text('identifier:text', 'ours', 'Ours'),
      text('identifier:text', 't', 'T'),
    ],
  );
  t.strictSame(extract({ resourceType: 'Flag', code: type }, 'code').slice(1), [
    { kind: 'token', param: 'code', system: null, code: 'X' },
    text('code:text', 'medical record', 'Medical Récord'),
    text('code:text', 'ours', 'Ours'),
  ]);
});

test('references that are not local, narrowed targets, open periods', async (t) => {
  const subject = (value: unknown) => extract({ resourceType: 'Flag', subject: value }, 'patient', 'subject');
  t.strictSame(subject({ reference: 'https://elsewhere.example.org/Patient/1' }), []);
  t.strictSame(subject({ reference: 'urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0' }), []);
  t.strictSame(subject({ reference: '#p' }), []);
  t.strictSame(subject({ display: 'somebody' }), []);
  t.strictSame(subject({ reference: 'Group/1' }), [{ kind: 'reference', param: 'subject', type: 'Group', id: '1' }]);
  t.strictSame(subject({ reference: 'Patient/1/_history/3' })[0], {
    kind: 'reference',
    param: 'patient',
    type: 'Patient',
    id: '1',
  });
  const untyped = subject({ identifier: { value: '1' } });
  t.strictSame(
    untyped.map((value) => value.param),
    ['subject'],
    'an identifier of unknown type is not a patient',
  );
  const typed = subject({ type: 'Patient', identifier: { value: '1' } });
  t.strictSame(
    typed.map((value) => value.param),
    ['patient', 'subject'],
  );
  const period = (value: unknown) => extract({ resourceType: 'Flag', period: value }, 'date');
  t.strictSame(period({ start: '2024' }), [
    { kind: 'date', param: 'date', startMs: Date.UTC(2024, 0, 1), endMs: latestMs },
  ]);
  t.strictSame(period({ end: '2024' }), [
    { kind: 'date', param: 'date', startMs: earliestMs, endMs: Date.UTC(2025, 0, 1) },
  ]);
  t.strictSame(period({}), []);
  t.strictSame(period({ start: 'soon' }), []);
});

test('Patient', async (t) => {
  const values = extract(
    Object.freeze({
      resourceType: 'Patient',
      active: true,
      identifier: [{ system: 'https://fhir.nhs.uk/Id/nhs-number', value: '9990000018' }],
      name: [{ family: 'O’Brien-Ștefan', given: ['Ana', 'Ana'], text: 'Ana O’Brien' }],
      birthDate: '2015-02',
      gender: 'female',
      deceasedDateTime: '2024-01-01T10:00:00+01:00',
      telecom: [
        { system: 'phone', value: '0113 496 0000' },
        { system: 'email', value: 'a@example.org' },
      ],
      address: [{ line: ['1 High St.'], city: 'Leeds', postalCode: 'LS1 1AA', use: 'home' }],
      link: [{ other: { reference: 'Patient/9990000026' }, type: 'seealso' }],
    }),
  );
  const of = (param: string): unknown[] =>
    values.filter((value) => value.param === param).map(({ kind: _, param: __, ...rest }) => rest);
  t.strictSame(of('active'), [{ system: null, code: 'true' }]);
  t.strictSame(of('deceased'), [{ system: null, code: 'true' }]);
  t.strictSame(of('death-date'), [{ startMs: Date.UTC(2024, 0, 1, 9), endMs: Date.UTC(2024, 0, 1, 9, 0, 1) }]);
  t.strictSame(of('birthdate'), [{ startMs: Date.UTC(2015, 1, 1), endMs: Date.UTC(2015, 2, 1) }]);
  t.strictSame(of('family'), [{ normalised: 'obrien stefan', exact: 'O’Brien-Ștefan' }]);
  t.strictSame(of('given'), [{ normalised: 'ana', exact: 'Ana' }], 'equal values once');
  t.strictSame(
    of('name').map((value) => (value as { exact: string }).exact),
    ['Ana O’Brien', 'O’Brien-Ștefan', 'Ana'],
  );
  t.strictSame(of('gender'), [{ system: 'http://hl7.org/fhir/administrative-gender', code: 'female' }]);
  t.strictSame(of('phone'), [{ system: null, code: '0113 496 0000' }]);
  t.strictSame(of('email'), [{ system: null, code: 'a@example.org' }]);
  t.equal(of('telecom').length, 2);
  t.strictSame(of('address-postalcode'), [{ normalised: 'ls1 1aa', exact: 'LS1 1AA' }]);
  t.equal(of('address').length, 3);
  t.strictSame(of('link'), [{ type: 'Patient', id: '9990000026' }]);
});

test('AuditEvent', async (t) => {
  const values = extract({
    resourceType: 'AuditEvent',
    type: { system: 'http://terminology.hl7.org/CodeSystem/audit-event-type', code: 'rest' },
    subtype: [{ system: 'http://hl7.org/fhir/restful-interaction', code: 'search-type' }],
    action: 'E',
    recorded: '2024-05-06T07:08:09.123Z',
    outcome: '0',
    agent: [
      {
        who: { identifier: { system: 'https://fhir.nhs.uk/Id/sds-user-id', value: '555' } },
        name: 'Sam',
        requestor: true,
      },
      { who: { reference: 'Organization/E08000035' }, requestor: false },
    ],
    source: { observer: { display: 'server' } },
    entity: [{ what: { reference: 'Patient/9990000018' } }, { query: 'eA==' }],
  });
  t.strictSame(
    values.filter((value) => value.param === 'patient'),
    [{ kind: 'reference', param: 'patient', type: 'Patient', id: '9990000018' }],
  );
  t.strictSame(
    values.filter((value) => value.param === 'agent'),
    [
      { kind: 'reference-identifier', param: 'agent', system: 'https://fhir.nhs.uk/Id/sds-user-id', value: '555' },
      { kind: 'reference', param: 'agent', type: 'Organization', id: 'E08000035' },
    ],
  );
  const recordedMs = Date.UTC(2024, 4, 6, 7, 8, 9, 123);
  t.strictSame(
    values.filter((value) => value.kind === 'date'),
    [{ kind: 'date', param: 'date', startMs: recordedMs, endMs: recordedMs + 1 }],
  );
  t.strictSame(
    values.filter((value) => value.kind === 'token').map((value) => `${value.param} ${value.system}|${value.code}`),
    [
      'action http://hl7.org/fhir/audit-event-action|E',
      'outcome http://hl7.org/fhir/audit-event-outcome|0',
      'subtype http://hl7.org/fhir/restful-interaction|search-type',
      'type http://terminology.hl7.org/CodeSystem/audit-event-type|rest',
    ],
  );
});

test('Organization and Subscription; a type without definitions has no values', async (t) => {
  const organization = extract(
    { resourceType: 'Organization', name: 'Leeds', alias: ['LCC'], partOf: { reference: 'Organization/X' } },
    'name',
    'partof',
  );
  t.strictSame(organization, [
    { kind: 'string', param: 'name', normalised: 'leeds', exact: 'Leeds' },
    { kind: 'string', param: 'name', normalised: 'lcc', exact: 'LCC' },
    { kind: 'reference', param: 'partof', type: 'Organization', id: 'X' },
  ]);
  const subscription = extract(
    {
      resourceType: 'Subscription',
      status: 'active',
      criteria: 'AuditEvent?x=y',
      channel: { type: 'rest-hook', endpoint: 'https://la.example.org/hook', payload: 'application/fhir+json' },
    },
    'status',
    'url',
    'type',
  );
  t.strictSame(subscription, [
    { kind: 'token', param: 'status', system: 'http://hl7.org/fhir/subscription-status', code: 'active' },
    { kind: 'token', param: 'type', system: 'http://hl7.org/fhir/subscription-channel-type', code: 'rest-hook' },
    { kind: 'uri', param: 'url', value: 'https://la.example.org/hook' },
  ]);
  t.strictSame(extract({ resourceType: 'Basic', id: 'x' }), []);
});
