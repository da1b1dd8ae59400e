import { test } from 'tap';
import type { SearchClause } from '../../../src/fhir/search/ast.ts';
import { baseUrl, clauseOf, parse, refusalOf } from '../../support/search-fixture.ts';

const nhsNumber = 'https://fhir.nhs.uk/Id/nhs-number';
const patient = { kind: 'literal', type: 'Patient', id: '9990000018' } as const;
const identifier = { kind: 'identifier', system: nhsNumber, value: '9990000018' } as const;

test('each form of a parameter becomes its clause', async (t) => {
  const day = { startMs: Date.UTC(2024, 1, 29), endMs: Date.UTC(2024, 2, 1) };
  const rows: [type: string, name: string, value: string, clause: SearchClause][] = [
    ['Flag', 'patient', '9990000018', { kind: 'reference', param: 'patient', any: [patient] }],
    ['Flag', 'patient', 'Patient/9990000018', { kind: 'reference', param: 'patient', any: [patient] }],
    ['Flag', 'patient', `${baseUrl}/Patient/9990000018`, { kind: 'reference', param: 'patient', any: [patient] }],
    ['Flag', 'patient:Patient', '9990000018', { kind: 'reference', param: 'patient', any: [patient] }],
    [
      'Flag',
      'patient:identifier',
      `${nhsNumber}|9990000018`,
      { kind: 'reference', param: 'patient', any: [identifier] },
    ],
    [
      'Flag',
      'patient.identifier',
      `${nhsNumber}|9990000018`,
      { kind: 'reference', param: 'patient', any: [identifier] },
    ],
    [
      'Flag',
      'subject:Patient.identifier',
      `${nhsNumber}|9990000018`,
      { kind: 'reference', param: 'subject', any: [identifier] },
    ],
    [
      'Flag',
      'patient:identifier',
      '|1,2',
      {
        kind: 'reference',
        param: 'patient',
        any: [
          { kind: 'identifier', system: null, value: '1' },
          { kind: 'identifier', value: '2' },
        ],
      },
    ],
    ['Flag', 'subject', '1', { kind: 'reference', param: 'subject', any: [{ kind: 'literal', id: '1' }] }],
    [
      'Flag',
      'subject:Group',
      '1',
      { kind: 'reference', param: 'subject', any: [{ kind: 'literal', type: 'Group', id: '1' }] },
    ],
    [
      'Flag',
      'author',
      'Organization/E08000035,E1',
      {
        kind: 'reference',
        param: 'author',
        any: [
          { kind: 'literal', type: 'Organization', id: 'E08000035' },
          { kind: 'literal', id: 'E1' },
        ],
      },
    ],
    ['Flag', 'status', 'active', { kind: 'token', param: 'status', negated: false, any: [{ code: 'active' }] }],
    [
      'Flag',
      'identifier',
      's|1',
      { kind: 'token', param: 'identifier', negated: false, any: [{ system: 's', code: '1' }] },
    ],
    [
      'Flag',
      'identifier',
      '|1',
      { kind: 'token', param: 'identifier', negated: false, any: [{ system: null, code: '1' }] },
    ],
    ['Flag', 'identifier', 's|', { kind: 'token', param: 'identifier', negated: false, any: [{ system: 's' }] }],
    [
      'Flag',
      'identifier',
      'a\\|b\\,|c\\$\\\\',
      { kind: 'token', param: 'identifier', negated: false, any: [{ system: 'a|b,', code: 'c$\\' }] },
    ],
    [
      'Flag',
      'status:not',
      'active,inactive',
      { kind: 'token', param: 'status', negated: true, any: [{ code: 'active' }, { code: 'inactive' }] },
    ],
    ['Flag', 'date:missing', 'true', { kind: 'missing', param: 'date', missing: true }],
    ['Flag', 'patient:missing', 'false', { kind: 'missing', param: 'patient', missing: false }],
    ['Flag', 'date', '2024-02-29', { kind: 'date', param: 'date', any: [{ prefix: 'eq', ...day }] }],
    [
      'Flag',
      'date',
      'ge2024-02-29,sa2024',
      {
        kind: 'date',
        param: 'date',
        any: [
          { prefix: 'ge', ...day },
          { prefix: 'sa', startMs: Date.UTC(2024, 0, 1), endMs: Date.UTC(2025, 0, 1) },
        ],
      },
    ],
    ['Flag', '_lastUpdated', 'lt2024-02-29', { kind: 'last-updated', any: [{ prefix: 'lt', ...day }] }],
    ['Flag', '_id', 'a,b-1.2', { kind: 'id', any: ['a', 'b-1.2'] }],
    [
      'Patient',
      'family',
      'O’Brien-  SMÍTH',
      { kind: 'string', param: 'family', match: 'starts', any: ['obrien smith'] },
    ],
    ['Patient', 'family:contains', 'Ö', { kind: 'string', param: 'family', match: 'contains', any: ['o'] }],
    ['Patient', 'family:exact', 'a\\,B', { kind: 'string', param: 'family', match: 'exact', any: ['a,B'] }],
    ['Subscription', 'url', 'https://a/b?c', { kind: 'uri', param: 'url', any: ['https://a/b?c'] }],
  ];
  for (const [type, name, value, clause] of rows) t.strictSame(clauseOf(type, name, value), clause, `${name}=${value}`);
});

test('repeats are AND, result parameters are read, _format is skipped', async (t) => {
  const query = parse('Flag', [
    ['patient', '9990000018'],
    ['_format', 'json'],
    ['date', 'ge2024'],
    ['date', 'lt2025'],
    ['_sort', '-date,_id'],
    ['_count', '5000'],
    ['_include', 'Flag:author'],
    ['_include', 'Flag:subject:Patient'],
    ['_summary', 'count'],
    ['_cursor', 'abc'],
    ['_pretty', 'true'],
  ]);
  t.equal(query.type, 'Flag');
  t.equal(query.clauses.length, 3);
  t.strictSame(query.sort, [
    { param: 'date', descending: true },
    { param: '_id', descending: false },
  ]);
  t.equal(query.count, 100, 'clamped');
  t.strictSame(query.include, [
    { source: 'Flag', param: 'author' },
    { source: 'Flag', param: 'subject', target: 'Patient' },
  ]);
  t.equal(query.summary, 'count');
  t.equal(query.cursor, 'abc');
  t.strictSame(
    query.applied.map(([name]) => name),
    ['patient', 'date', 'date', '_sort', '_count', '_include', '_include', '_summary'],
  );
  t.equal(parse('Flag', []).count, undefined);
  t.equal(parse('Flag', [], { defaultCount: 25 }).count, 25);
  t.equal(parse('Flag', [['_count', '0']], { defaultCount: 25 }).count, 0);
  const whole = parse('Flag', [['_summary', 'false']]);
  t.equal(whole.summary, undefined, '_summary=false asks for what none asks for');
  t.strictSame(whole.applied, [['_summary', 'false']]);
});

test('unknown parameters: refused by name under strict handling, reported under lenient', async (t) => {
  const params = [
    ['patient', '9990000018'],
    ['severity', 'a'],
    ['_has:x', 'b'],
    ['encounter', 'c'],
  ] as const;
  const allowed = new Set(['patient']);
  const refusal = refusalOf('Flag', params, { allowed });
  t.equal(refusal.status, 400);
  t.equal(refusal.category, 'not-supported');
  t.strictSame(
    refusal.issues.map((issue) => issue.expression),
    [['severity'], ['_has:x'], ['encounter']],
  );
  const query = parse('Flag', params, { allowed, handling: 'lenient' });
  t.strictSame(query.ignored, ['severity', '_has:x', 'encounter']);
  t.strictSame(query.applied, [['patient', '9990000018']]);
  t.strictSame(refusalOf('Flag', [['_id', 'a']], { allowed }).issues[0]?.expression, ['_id'], '_id is no exception');
  for (const hidden of ['N9990000018', '_999-000-0018', 'x.9990000018:y']) {
    const expressions = refusalOf('Flag', [[hidden, '1']], { allowed }).issues[0]?.expression;
    t.strictSame(expressions, ['http.parameter'], 'a name that may hold an NHS number is not repeated');
  }
});

test('what is refused under lenient handling too, with its expression', async (t) => {
  const many = Array.from({ length: 101 }, (_, i) => `${i}`).join(',');
  const rows: [type: string, name: string, value: string, code: string, expression?: string][] = [
    ['Flag', 'patient', '', 'invalid', 'patient'],
    ['Flag', 'patient', 'a,,b', 'invalid', 'patient'],
    ['Flag', 'patient', 'a b', 'invalid', 'patient'],
    ['Flag', 'patient', 'Patient/1/_history/2', 'invalid', 'patient'],
    ['Flag', 'patient', 'Group/1', 'invalid', 'patient'],
    ['Flag', 'patient', 'https://elsewhere.example.org/Patient/1', 'invalid', 'patient'],
    ['Flag', 'patient', `${baseUrl}x/Patient/1`, 'invalid', 'patient'],
    ['Flag', 'subject:Group', 'Patient/1', 'invalid', 'subject'],
    ['Flag', 'patient:identifier', 's|', 'invalid', 'patient'],
    ['Flag', 'patient:Group', '1', 'not-supported', 'patient'],
    ['Flag', 'patient:constructor', '1', 'not-supported', 'patient'],
    ['Flag', 'patient.name', 'x', 'not-supported', 'patient'],
    ['Flag', 'patient.identifier.system', 'x', 'not-supported', 'patient'],
    ['Flag', 'status.identifier', 'x', 'not-supported', 'status'],
    ['Flag', 'status:in', 'x', 'not-supported', 'status'],
    ['Flag', 'status:', 'x', 'not-supported', 'status'],
    ['Flag', 'date:exact', '2024', 'not-supported', 'date'],
    ['Flag', '_id:not', 'a', 'not-supported', '_id'],
    ['Flag', '_lastUpdated:missing', 'true', 'not-supported', '_lastUpdated'],
    ['Flag', 'patient[$ne]', '', 'invalid', 'patient'],
    ['Flag', 'patient[]', 'a', 'invalid', 'patient'],
    ['Flag', '_sort[]', 'date', 'invalid', '_sort'],
    ['Flag', '9990000018', 'a', 'invalid'],
    ['Flag', '', 'a', 'invalid'],
    ['Flag', '__proto__[x]', 'a', 'invalid'],
    ['Flag', 'identifier', '|', 'invalid', 'identifier'],
    ['Flag', 'identifier', 'a|b|c', 'invalid', 'identifier'],
    ['Flag', 'identifier', 'a\\b', 'invalid', 'identifier'],
    ['Flag', 'identifier', 'a\\', 'invalid', 'identifier'],
    ['Flag', 'identifier', 'a\0b', 'invalid', 'identifier'],
    ['Flag', 'identifier', 'a\ud800', 'invalid', 'identifier'],
    ['Flag', 'identifier', 'x'.repeat(1025), 'too-long', 'identifier'],
    ['Flag', 'identifier', many, 'too-costly', 'identifier'],
    ['Flag', 'date', 'ap2024', 'not-supported', 'date'],
    ['Flag', 'date', 'zz2024', 'invalid', 'date'],
    ['Flag', 'date', '2024-02-30', 'invalid', 'date'],
    ['Flag', 'date:missing', 'yes', 'invalid', 'date'],
    ['Flag', '_id', 'a/b', 'invalid', '_id'],
    ['Flag', '_count', '-1', 'invalid', '_count'],
    ['Flag', '_count', '1e3', 'invalid', '_count'],
    ['Flag', '_summary', 'true', 'not-supported', '_summary'],
    ['Flag', '_sort', 'severity', 'not-supported', '_sort'],
    ['Flag', '_sort', 'date,-date', 'invalid', '_sort'],
    ['Flag', '_include', '*', 'not-supported', '_include'],
    ['Flag', '_include', 'Flag:encounter', 'not-supported', '_include'],
    ['Flag', '_include', 'Flag:patient:Group', 'not-supported', '_include'],
    ['Flag', '_include:iterate', 'Flag:author', 'not-supported', '_include'],
    ['Flag', '_cursor', '', 'invalid', '_cursor'],
    ['Patient', 'family', ' - ', 'invalid', 'family'],
    ['Patient', 'family:text', 'a', 'not-supported', 'family'],
    ['Subscription', 'url:below', 'a', 'not-supported', 'url'],
  ];
  for (const [type, name, value, code, expression] of rows) {
    const refusal = refusalOf(type, [[name, value]], { handling: 'lenient' });
    const [issue] = refusal.issues;
    t.equal(refusal.status, 400);
    t.equal(issue?.code, code, `${name}=${value.slice(0, 30)}`);
    t.strictSame(issue?.expression, expression === undefined ? undefined : [expression]);
    if (value.length > 3) t.notOk(issue?.diagnostics.includes(value), 'the value is not repeated');
  }
});

test('all problems of a request are reported at once', async (t) => {
  const refusal = refusalOf('Flag', [
    ['patient', ''],
    ['date', 'yesterday'],
    ['severity', 'x'],
    ['_count', '1'],
    ['_count', '2'],
  ]);
  t.equal(refusal.category, 'invalid');
  t.strictSame(
    refusal.issues.map((issue) => issue.expression?.[0]),
    ['patient', 'date', 'severity', '_count'],
  );
  const many = Array.from({ length: 51 }, () => ['patient', '1'] as const);
  t.equal(refusalOf('Flag', many).issues[0]?.code, 'too-costly');
});
