import fc from 'fast-check';
import { test } from 'tap';
import { readAnswer } from '../../src/demographics/pds/read-answer.ts';

const security = (code: string) => ({
  security: [{ system: 'http://terminology.hl7.org/CodeSystem/v3-Confidentiality', code }],
});
const patient = {
  resourceType: 'Patient',
  id: '9990100004',
  meta: security('U'),
  name: [
    { use: 'usual', family: 'Smith', given: ['Jane', 'Ann'] },
    { use: 'old', family: 'Jones', given: ['Jane'] },
    { use: 'nickname', text: 'Janie' },
  ],
  birthDate: '2010-10-22',
};
const outcome = (code: string) => ({
  resourceType: 'OperationOutcome',
  issue: [{ severity: 'error', code: 'x', details: { coding: [{ code }] } }],
});
const asked = '9990100004';

test('a Patient', async (t) => {
  t.same(readAnswer(asked, 200, patient), {
    kind: 'found',
    person: {
      number: asked,
      names: [
        { family: 'Smith', given: ['Jane', 'Ann'] },
        { family: 'Jones', given: ['Jane'] },
      ],
      birthDate: '2010-10-22',
      isDead: false,
      isSensitive: false,
    },
  });
  t.match(readAnswer('9990100012', 200, patient), { kind: 'superseded', person: { number: asked } });
  t.match(readAnswer(asked, 200, { ...patient, deceasedDateTime: '2024-01-01' }), { person: { isDead: true } });
  t.match(readAnswer(asked, 200, { ...patient, name: undefined, birthDate: undefined }), {
    person: { names: [], birthDate: undefined },
  });
});

test('a record is sensitive unless it says that it is not', async (t) => {
  const isSensitive = (meta: unknown) => {
    const trace = readAnswer(asked, 200, { ...patient, meta });
    return trace.kind === 'found' ? trace.person.isSensitive : trace.kind;
  };
  for (const code of ['R', 'V', 'S', 'REDACTED', '']) t.equal(isSensitive(security(code)), true, code);
  t.equal(isSensitive(security('U')), false);
  t.equal(isSensitive({ security: [...security('U').security, ...security('R').security] }), true);
  t.equal(isSensitive({ security: [{ system: 'other', code: 'U' }] }), true);
  t.equal(isSensitive(undefined), true);
});

test('errors', async (t) => {
  type Row = readonly [status: number, body: unknown, wanted: object];
  const rows: readonly Row[] = [
    [404, outcome('RESOURCE_NOT_FOUND'), { kind: 'not-found' }],
    [404, outcome('INVALIDATED_RESOURCE'), { kind: 'invalidated' }],
    [400, outcome('INVALID_RESOURCE_ID'), { kind: 'not-found' }],
    [404, undefined, { kind: 'failed', reason: 'status-404', mayPass: false }],
    [404, outcome('UNSUPPORTED_SERVICE'), { kind: 'failed', reason: 'status-404' }],
    [404, { issue: outcome('RESOURCE_NOT_FOUND').issue }, { kind: 'failed' }],
    [400, outcome('MISSING_VALUE'), { kind: 'failed', mayPass: false }],
    [401, outcome('ACCESS_DENIED'), { kind: 'failed', reason: 'status-401' }],
    [403, outcome('RESOURCE_NOT_FOUND'), { kind: 'failed', mayPass: false }],
    [408, outcome('UNABLE_TO_CALL_SERVICE'), { kind: 'failed', mayPass: true }],
    [429, outcome('TOO_MANY_REQUESTS'), { kind: 'failed', mayPass: true }],
    [502, undefined, { kind: 'failed', mayPass: true }],
    [503, undefined, { kind: 'failed', mayPass: true }],
    [302, undefined, { kind: 'failed', mayPass: false }],
    [200, undefined, { kind: 'failed', reason: 'unreadable' }],
    [200, outcome('RESOURCE_NOT_FOUND'), { kind: 'failed', reason: 'unreadable' }],
    [200, { ...patient, id: '9990100005' }, { kind: 'failed', reason: 'unreadable' }],
    ...['22/10/2010', '2010-02-30', '2010-13', '', null, ['2010']].map(
      (birthDate): Row => [200, { ...patient, birthDate }, { kind: 'failed', reason: 'unreadable' }],
    ),
    [200, { ...patient, resourceType: 'Person' }, { kind: 'failed', reason: 'unreadable' }],
  ];
  t.match(readAnswer(asked, 200, { ...patient, name: [{ family: 'S'.repeat(201), given: ['J'] }] }), { kind: 'found' });
  for (const [status, body, wanted] of rows) t.match(readAnswer(asked, status, body), wanted, `${status}`);
});

test('no body is read as a person or as nobody unless it says so, and none throws', async () => {
  fc.assert(
    fc.property(fc.integer({ min: 200, max: 599 }), fc.jsonValue({ maxDepth: 4 }), (status, body) => {
      return readAnswer(asked, status, body).kind === 'failed';
    }),
    { numRuns: 500, seed: 14 },
  );
});
