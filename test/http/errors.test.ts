import { readFileSync } from 'node:fs';
import t from 'tap';
import { spineCoding, spineCodingFor } from '../../src/cpis/spine-code.ts';
import { type FaultCategory, FhirFault, fault, faultCategories, type Issue } from '../../src/fhir/fault.ts';
import { buildOperationOutcome, renderOperationOutcome } from '../../src/fhir/operation-outcome.ts';
import { faultStatus } from '../../src/fhir/response-status.ts';
import { issueOf, startServer, token } from './start-server.ts';

const categories = Object.keys(faultCategories) as FaultCategory[];
const page = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8');
const rows = page
  .split('\n')
  .filter((line) => /^\| [a-z]/.test(line))
  .map((line) => line.split('|').map((cell) => cell.trim()));

t.test('docs/errors.md has one row for each category, and nothing else', async (t) => {
  t.strictSame(
    rows.map((cells) => cells[1]),
    categories,
  );
  for (const [, category = '', status, issueCode, spine, meaning, remedy] of rows) {
    const rule = faultCategories[category as FaultCategory];
    const [issue] = fault(category as FaultCategory, 'x').issues;
    t.equal(status, String(faultStatus[category as FaultCategory].code), category);
    t.equal(rule.isServerFailure, Number(status) >= 500, category);
    t.equal(issueCode, rule.issueCode, category);
    t.equal(spine, spineCodingFor(category as FaultCategory)(issue as Issue)?.code, category);
    t.ok(meaning && remedy, category);
  }
});

t.test('every category is answered with its status, as an OperationOutcome', async (t) => {
  const server = await startServer({
    answer: ({ id }) => {
      throw fault(id as FaultCategory, 'In words.', id === 'throttled' ? { retryAfterS: 17 } : {});
    },
  });
  t.teardown(server.close);
  for (const category of categories) {
    const response = await fetch(`${server.url}/Flag/${category}`, { headers: { authorization: token } });
    t.equal(response.status, faultStatus[category].code, category);
    t.equal(response.headers.get('content-type'), 'application/fhir+json; charset=utf-8');
    t.equal(response.headers.get('www-authenticate'), category === 'login' ? 'Bearer realm="cpis-fhir"' : null);
    const retryAfter = category === 'throttled' ? '17' : category === 'transient' ? '5' : null;
    t.equal(response.headers.get('retry-after'), retryAfter);
    const { code, diagnostics } = await issueOf(response);
    t.same([code, diagnostics], [faultCategories[category].issueCode, 'In words.']);
  }
  const levels = server.log.map((line) => JSON.parse(line)).filter(({ category }) => category !== undefined);
  const expected = { info: 30, warn: 40, error: 50 };
  for (const { category, level } of levels) {
    t.equal(level, expected[faultCategories[category as FaultCategory].logLevel], category);
  }
  t.equal(server.refused.length, 0, 'perform audits what it refuses');
});

t.test('the facts of a fault become the headers that its client acts on', async (t) => {
  const faults: Readonly<Record<string, FhirFault>> = {
    invalid: fault('login', 'In words.', { isTokenInvalid: true }),
    scope: fault('forbidden', 'In words.', { neededScope: 'system/Flag.r' }),
    wait: fault('transient', 'In words.', { retryAfterS: 30 }).withIssues([]),
  };
  const server = await startServer({
    answer: ({ id = '' }) => {
      throw faults[id];
    },
  });
  t.teardown(server.close);
  const headersOf = async (id: string): Promise<Headers> =>
    (await fetch(`${server.url}/Flag/${id}`, { headers: { authorization: token } })).headers;
  t.equal(
    (await headersOf('invalid')).get('www-authenticate'),
    'Bearer realm="cpis-fhir", error="invalid_token", error_description="In words."',
  );
  t.equal(
    (await headersOf('scope')).get('www-authenticate'),
    'Bearer error="insufficient_scope", scope="system/Flag.r"',
  );
  t.equal((await headersOf('wait')).get('retry-after'), '30');
});

t.test('an OperationOutcome keeps all issues, their expressions and the details that they have', async (t) => {
  const own = { system: 'https://cpis.example/reason', code: 'wrong-child' };
  const issues: Issue[] = [
    { severity: 'error', code: 'value', diagnostics: 'a', expression: ['Flag.period.start'], details: own },
    { severity: 'error', code: 'value', diagnostics: 'b', details: spineCoding('INVALID_NHS_NUMBER') },
    { severity: 'information', code: 'informational', diagnostics: 'c' },
  ];
  t.strictSame(buildOperationOutcome(issues, spineCodingFor()), {
    resourceType: 'OperationOutcome',
    issue: [
      {
        severity: 'error',
        code: 'value',
        details: { coding: [own, spineCoding('INVALID_VALUE')] },
        diagnostics: 'a',
        expression: ['Flag.period.start'],
      },
      { severity: 'error', code: 'value', details: { coding: [spineCoding('INVALID_NHS_NUMBER')] }, diagnostics: 'b' },
      { severity: 'information', code: 'informational', diagnostics: 'c' },
    ],
  });
  t.strictSame(JSON.parse(renderOperationOutcome(issues)), buildOperationOutcome(issues));
  const refused = new FhirFault('precondition', [
    { severity: 'error', code: 'multiple-matches', diagnostics: 'd' },
    { severity: 'error', code: 'required', diagnostics: 'e' },
    { severity: 'error', code: 'conflict', diagnostics: 'f' },
  ]);
  t.strictSame(
    refused.issues.map((issue) => spineCodingFor(refused.category)(issue)?.code),
    ['TOO_MANY_MATCHES', 'PRECONDITION_FAILED', 'RESOURCE_VERSION_MISMATCH'],
  );
});
