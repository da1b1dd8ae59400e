import { test } from 'tap';
import type { SearchClause } from '../../../src/fhir/search/ast.ts';
import { baseUrl, clauseOf, parse, refusalOf } from '../../support/search-fixture.ts';
import { statusOf } from '../../support/status-of.ts';

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
    ['Subscription', 'url', 'https://a/b?c', { kind: 'uri', param: 'url', match: 'exact', any: ['https://a/b?c'] }],
    ['Subscription', 'url:below', 'https://a/b', { kind: 'uri', param: 'url', match: 'below', any: ['https://a/b'] }],
    [
      'Subscription',
      'url:above',
      'https://a/b/c',
      {
        kind: 'uri',
        param: 'url',
        match: 'exact',
        any: ['https://a/b/c', 'https://a', 'https://a/', 'https://a/b', 'https://a/b/'],
      },
    ],
    [
      'Flag',
      'identifier:of-type',
      'http://t|MR|a\\|b',
      { kind: 'token', param: 'identifier:of-type', negated: false, any: [{ system: 'http://t|MR', code: 'a|b' }] },
    ],
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
    { source: 'Flag', param: 'author', iterate: false },
    { source: 'Flag', param: 'subject', target: 'Patient', iterate: false },
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
    ['_has_x', 'b'],
    ['encounter', 'c'],
  ] as const;
  const allowed = new Set(['patient']);
  const refusal = refusalOf('Flag', params, { allowed });
  t.equal(statusOf(refusal), 400);
  t.equal(refusal.category, 'not-supported');
  t.strictSame(
    refusal.issues.map((issue) => issue.expression),
    [['severity'], ['_has_x'], ['encounter']],
  );
  const query = parse('Flag', params, { allowed, handling: 'lenient' });
  t.strictSame(query.ignored, ['severity', '_has_x', 'encounter']);
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
    ['Flag', '_include:recurse', 'Flag:author', 'not-supported', '_include'],
    ['Flag', '_revinclude', 'Flag:author', 'not-supported', '_revinclude'],
    ['Flag', '_total', 'all', 'invalid', '_total'],
    ['Flag', '_has', 'a', 'not-supported', '_has'],
    ['Flag', '_has:AuditEvent:patient:action', 'R', 'not-supported', '_has'],
    ['Flag', '_text', 'a', 'not-supported', '_text'],
    ['Flag', '_content', 'a', 'not-supported', '_content'],
    ['Flag', '_query', 'a', 'not-supported', '_query'],
    ['Flag', '_filter', 'a', 'not-supported', '_filter'],
    ['Flag', '_list', 'a', 'not-supported', '_list'],
    ['Flag', 'code:text', 'a', 'not-supported', 'code'],
    ['Flag', 'code:of-type', 'a|b|c', 'not-supported', 'code'],
    ['Flag', 'identifier:of-type', 'a|b', 'invalid', 'identifier'],
    ['Flag', 'identifier:of-type', '|b|c', 'invalid', 'identifier'],
    ['Flag', 'identifier:of-type', 'a|b|c|d', 'invalid', 'identifier'],
    ['Flag', '_cursor', '', 'invalid', '_cursor'],
    ['Patient', 'family', ' - ', 'invalid', 'family'],
    ['Patient', 'family:text', 'a', 'not-supported', 'family'],
    ['Subscription', 'url:in', 'a', 'not-supported', 'url'],
    ['Subscription', 'url:above', `https://a/${'b/'.repeat(60)}`, 'too-costly', 'url'],
  ];
  for (const [type, name, value, code, expression] of rows) {
    const refusal = refusalOf(type, [[name, value]], { handling: 'lenient' });
    const [issue] = refusal.issues;
    t.equal(statusOf(refusal), 400);
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

test('ap widens by a tenth of the distance from today, and needs to know today', async (t) => {
  const dayMs = 86_400_000;
  const nowMs = Date.UTC(2024, 0, 21, 15);
  const intervalOf = (value: string) => parse('Flag', [['date', value]], { nowMs }).clauses[0];
  const widened = (startMs: number, endMs: number) => ({
    kind: 'date',
    param: 'date',
    any: [{ prefix: 'ap', startMs, endMs }],
  });
  const day = (of: number) => Date.UTC(2024, 0, of);
  t.strictSame(intervalOf('ap2024-01-10'), widened(day(10) - dayMs, day(11) + dayMs));
  t.strictSame(intervalOf('ap2024-01-31'), widened(day(31) - dayMs, day(32) + dayMs));
  t.strictSame(intervalOf('ap2024-01'), widened(day(1), day(32)), 'today is in it');
  t.strictSame(intervalOf('ap2024-01-21'), widened(day(21), day(22)));
});

const patientTarget = { type: 'Patient', allowed: new Set(['_id', 'birthdate', 'family']) };
const flagTarget = { type: 'Flag', allowed: new Set(['status', 'author']) };
const linking = {
  chains: new Map([['patient', patientTarget]]),
  reverses: new Map([['Flag:patient', flagTarget]]),
  revincludes: new Set(['Flag:patient']),
  iterates: new Set(['Flag:author']),
  includes: new Set<string>(),
  texts: new Set(['code']),
};

test('chains, _has, :text, _total and includes either way', async (t) => {
  const of = (name: string, value: string) => parse('Flag', [[name, value]], linking);
  const family = { kind: 'string', param: 'family', match: 'exact', any: ['A'] };
  t.strictSame(of('patient.family:exact', 'A').linked, [
    { kind: 'chain', param: 'patient', target: 'Patient', clause: family },
  ]);
  t.strictSame(of('patient:Patient._id', 'a').linked, [
    { kind: 'chain', param: 'patient', target: 'Patient', clause: { kind: 'id', any: ['a'] } },
  ]);
  t.strictSame(of('_has:Flag:patient:status:not', 'active').linked, [
    {
      kind: 'has',
      param: 'patient',
      target: 'Flag',
      clause: { kind: 'token', param: 'status', negated: true, any: [{ code: 'active' }] },
    },
  ]);
  t.match(of('_has:Flag:patient:author.identifier', 's|v').linked, [
    { clause: { kind: 'reference', param: 'author', any: [{ kind: 'identifier', system: 's', value: 'v' }] } },
  ]);
  t.strictSame(of('code:text', 'CHILD  Prot').clauses, [
    { kind: 'string', param: 'code:text', match: 'starts', any: ['child prot'] },
  ]);
  for (const total of ['none', 'estimate', 'accurate'] as const) t.equal(of('_total', total).total, total);
  t.strictSame(of('_revinclude', 'Flag:patient').revinclude, [{ source: 'Flag', param: 'patient', iterate: false }]);
  t.strictSame(of('_include:iterate', 'Flag:author').include, [{ source: 'Flag', param: 'author', iterate: true }]);
  t.strictSame(of('_count', '5000').applied, [['_count', '100']], 'self says what was done');
  const refused: readonly (readonly [string, string])[] = [
    ['patient.name', 'x'],
    ['patient.family.x', 'x'],
    ['patient.birthdate', 'x'],
    ['patient:Group.family', 'x'],
    ['subject.family', 'x'],
    ['author.name', 'x'],
    ['_has:Flag:subject:status', 'x'],
    ['_has:Flag:patient:code', 'x'],
    ['_has:Flag:patient:_has:Flag:patient:status', 'x'],
    ['_has:Flag:patient', 'x'],
    ['_has:Flag:patient:', 'x'],
    ['_include', 'Flag:author'],
    ['_revinclude', 'Flag:author'],
    ['_revinclude:recurse', 'Flag:patient'],
  ];
  for (const [name, value] of refused) {
    t.equal(statusOf(refusalOf('Flag', [[name, value]], { ...linking, handling: 'lenient' })), 400, name);
  }
  const six = Array.from({ length: 6 }, () => ['patient.family', 'x'] as const);
  t.equal(refusalOf('Flag', six, linking).issues[0]?.code, 'too-costly');
  const eleven = Array.from({ length: 11 }, () => ['_revinclude', 'Flag:patient'] as const);
  t.equal(refusalOf('Flag', eleven, linking).issues[0]?.code, 'too-costly');
});
