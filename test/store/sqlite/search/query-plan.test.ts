import t, { type Test } from 'tap';
import type { SearchClause, SearchPlan, SortKey } from '../../../../src/fhir/search/ast.ts';
import { compileAuditSearch } from '../../../../src/store/sqlite/search/compile-audit-search.ts';
import { type CompiledSearch, compileSearch } from '../../../../src/store/sqlite/search/compile-search.ts';
import { plan } from '../../../contract/fixtures.ts';
import { openExplainer } from '../explain.ts';

const interval = { startMs: 1, endMs: 2 };
const prefixes = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;

const listOf = (length: number) =>
  Array.from({ length }, (_, i) => ({ kind: 'literal', type: 'Patient', id: `${i}` }) as const);

const resourceClauses: readonly SearchClause[] = [
  { kind: 'token', param: 'status', negated: false, any: [{ code: 'active' }] },
  { kind: 'token', param: 'status', negated: false, any: [{ system: 's', code: 'active' }] },
  { kind: 'token', param: 'status', negated: false, any: [{ system: 's' }] },
  { kind: 'token', param: 'status', negated: false, any: [{ system: null, code: 'a' }, { code: 'b' }] },
  { kind: 'token', param: 'status', negated: true, any: [{ code: 'active' }, { system: 's' }] },
  { kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: '1' }] },
  { kind: 'reference', param: 'patient', any: [{ kind: 'literal', id: '1' }] },
  {
    kind: 'reference',
    param: 'patient',
    any: [
      { kind: 'identifier', system: 's', value: '1' },
      { kind: 'literal', id: '1' },
    ],
  },
  { kind: 'reference', param: 'patient', any: listOf(3) },
  { kind: 'reference', param: 'patient', any: listOf(1_000) },
  { kind: 'id', any: listOf(1_000).map(({ id }) => id) },
  { kind: 'string', param: 'code:text', match: 'starts', any: ['a'] },
  { kind: 'token', param: 'identifier:of-type', negated: false, any: [{ system: 's|c', code: 'v' }] },
  ...prefixes.map((prefix): SearchClause => ({ kind: 'date', param: 'date', any: [{ prefix, ...interval }] })),
  { kind: 'date', param: 'date', any: prefixes.map((prefix) => ({ prefix, ...interval })) },
  ...(['starts', 'contains', 'exact'] as const).map(
    (match): SearchClause => ({ kind: 'string', param: 'name', match, any: ['a'] }),
  ),
  { kind: 'uri', param: 'url', match: 'exact', any: ['u', 'v'] },
  { kind: 'uri', param: 'url', match: 'below', any: ['u', 'v'] },
  { kind: 'missing', param: 'date', missing: true },
  { kind: 'missing', param: 'date', missing: false },
  { kind: 'id', any: ['a', 'b'] },
  {
    kind: 'last-updated',
    any: [
      { prefix: 'ge', ...interval },
      { prefix: 'ne', ...interval },
    ],
  },
  { kind: 'label', any: ['l'] },
  { kind: 'label', any: ['l', 'm'] },
];

const sorts: readonly (readonly SortKey[])[] = [
  [],
  [{ param: '_id', descending: true }],
  [{ param: '_lastUpdated', descending: true }],
  [
    { param: 'date', descending: true },
    { param: 'status', descending: false },
  ],
];

const auditClauses: readonly SearchClause[] = [
  ...['patient', 'agent', 'entity'].flatMap((param): SearchClause[] => [
    { kind: 'reference', param, any: [{ kind: 'literal', type: 'Patient', id: '1' }] },
    {
      kind: 'reference',
      param,
      any: [
        { kind: 'literal', id: '1' },
        { kind: 'literal', type: 'Patient', id: '2' },
      ],
    },
    { kind: 'missing', param, missing: true },
  ]),
  ...['type', 'subtype', 'action', 'outcome'].flatMap((param): SearchClause[] => [
    { kind: 'token', param, negated: false, any: [{ code: 'R' }] },
    { kind: 'token', param, negated: true, any: [{ code: 'R' }] },
  ]),
  ...prefixes.map((prefix): SearchClause => ({ kind: 'date', param: 'date', any: [{ prefix, ...interval }] })),
  { kind: 'last-updated', any: [{ prefix: 'ge', ...interval }] },
  { kind: 'id', any: ['a', 'b'] },
  { kind: 'label', any: ['l'] },
  { kind: 'label', any: ['l', 'm'] },
];

const { explain, scans, has } = openExplainer(t);

/** Every clause, alone and with every other, in every order, on the first page and a later one. */
function plansOf(
  type: string,
  clauses: readonly SearchClause[],
  orders: readonly (readonly SortKey[])[],
): SearchPlan[] {
  const sets: SearchClause[][] = [[], ...clauses.map((clause) => [clause])];
  for (const [i, clause] of clauses.entries()) for (const other of clauses.slice(i + 1)) sets.push([clause, other]);
  return sets.flatMap((set) =>
    orders.flatMap((sort) => [
      plan(set, { type, sort }),
      plan(set, { type, sort, after: type === 'AuditEvent' ? [1, 1] : [...sort.map(() => 1), 'x'] }),
    ]),
  );
}

/** Compiles every plan and explains each distinct statement once, so that a statement stands for all plans that share it. */
function checkNoScan(t: Test, plans: readonly SearchPlan[], compile: (searched: SearchPlan) => CompiledSearch): void {
  const planOf = new Map<string, SearchPlan>();
  for (const searched of plans) {
    const { page, count } = compile(searched);
    for (const { sql } of [page, count]) if (!planOf.has(sql)) planOf.set(sql, searched);
  }
  for (const [sql, searched] of planOf) {
    const found = scans(sql);
    if (found.length > 0) t.same(found, [], JSON.stringify(searched));
  }
  const uncovered = plans.filter((searched) => {
    const { page, count } = compile(searched);
    return !has(page.sql) || !has(count.sql);
  });
  t.same(uncovered, [], 'the statements of every plan were explained');
  t.ok(planOf.size < plans.length * 2, `${planOf.size} statements for ${plans.length} plans`);
}

const setsOf = (clauses: readonly SearchClause[]): number =>
  1 + clauses.length + (clauses.length * (clauses.length - 1)) / 2;

t.test('no search of resources scans a table', async (t) => {
  t.same(scans('SELECT body FROM audit'), ['SCAN audit'], 'a scan is detected');
  const plans = plansOf('Flag', resourceClauses, sorts);
  t.equal(plans.length, setsOf(resourceClauses) * sorts.length * 2);
  checkNoScan(t, plans, compileSearch);
});

t.test('no search of AuditEvents scans a table, and one key gives its page in order', async (t) => {
  const orders = [[], [{ param: 'date', descending: false }]];
  const plans = plansOf('AuditEvent', auditClauses, orders);
  t.equal(plans.length, setsOf(auditClauses) * orders.length * 2);
  checkNoScan(t, plans, compileAuditSearch);
  for (const searched of plans) {
    const [single] = searched.clauses;
    if (searched.clauses.length !== 1 || single === undefined || !('any' in single) || single.any.length !== 1)
      continue;
    if (single.kind !== 'label' && single.kind !== 'reference') continue;
    t.notOk(
      explain(compileAuditSearch(searched).page.sql).some((step) => step.includes('ORDER BY')),
      `${JSON.stringify(searched)} sorts nothing`,
    );
  }
});

t.test('the look-up of a child reads only the flags of that child, in order', async (t) => {
  const patient = resourceClauses[5];
  const status = resourceClauses[4];
  const date = resourceClauses.find(({ kind }) => kind === 'date');
  if (patient === undefined || status === undefined || date === undefined) throw new Error('the clauses are missing');
  const steps = explain(compileSearch(plan([status, date, patient])).page.sql);
  t.match(steps[0], /^SEARCH x USING COVERING INDEX index_value_by_value \(type=\? AND param=\? AND kind=\? AND v1=\?/);
  t.match(steps[1], /^SEARCH r USING PRIMARY KEY \(type=\? AND id=\?\)/);
  t.notOk(steps.some((step) => step.includes('ORDER BY')));
});

const own: SearchClause = { kind: 'label', any: ['viewer:E1'] };
const literal = (param: string, type: string | undefined, id: string): SearchClause => ({
  kind: 'reference',
  param,
  any: [{ kind: 'literal', id, ...(type === undefined ? {} : { type }) }],
});

t.test('the access label drives, unless the search names one child or one record', async (t) => {
  const outcome: SearchClause = { kind: 'token', param: 'outcome', negated: false, any: [{ code: '8' }] };
  const audits: readonly (readonly [string, readonly SearchClause[]])[] = [
    ['l:viewer:E1', [literal('agent', 'Organization', 'E2'), own]],
    ['l:viewer:E1', [literal('agent', undefined, 'E2'), own]],
    ['l:viewer:E1', [literal('entity', 'Organization', 'E2'), own]],
    ['l:viewer:E1', [outcome, own]],
    ['l:viewer:E1', [{ kind: 'reference', param: 'patient', any: listOf(2) }, own]],
    [
      'l:viewer:E1',
      [{ kind: 'reference', param: 'entity', any: [...listOf(1), { kind: 'literal', type: 'Flag', id: '0' }] }, own],
    ],
    ['r:9990000018/Patient', [literal('patient', 'Patient', '9990000018'), own]],
    ['r:f1/Flag', [own, literal('agent', 'Organization', 'E2'), literal('entity', 'Flag', 'f1')]],
    ['r:E2/Organization', [literal('agent', 'Organization', 'E2'), outcome]],
  ];
  for (const [key, clauses] of audits) {
    const { page, count } = compileAuditSearch(plan(clauses, { type: 'AuditEvent' }));
    t.equal(page.params[0], key, JSON.stringify(clauses));
    for (const compiled of [page, count]) t.match(explain(compiled.sql)[0], /^SEARCH d USING PRIMARY KEY \(key=\?\)/);
  }
  const date: SearchClause = { kind: 'date', param: 'date', any: [{ prefix: 'ge', ...interval }] };
  for (const clauses of [[own], [own, date], [own, literal('agent', 'Organization', 'E2')]]) {
    const { page, count } = compileAuditSearch(plan(clauses, { type: 'AuditEvent' }));
    for (const compiled of [page, count]) t.notMatch(explain(compiled.sql).join(), 'SEARCH a ', 'the keys suffice');
  }

  const prefix: SearchClause = {
    kind: 'reference',
    param: 'agent',
    any: [{ kind: 'literal', type: 'name', id: 'zoe', isPrefix: true }],
  };
  for (const clauses of [[prefix], [prefix, outcome], [prefix, date]]) {
    const { page, count } = compileAuditSearch(plan(clauses, { type: 'AuditEvent' }));
    for (const compiled of [page, count]) {
      const steps = explain(compiled.sql).join();
      t.match(steps, 'SEARCH k USING PRIMARY KEY (key>? AND key<?)');
      t.match(steps, 'SEARCH d USING PRIMARY KEY (key=? AND recordedMs=? AND seq=?)', 'only the events of the name');
    }
  }

  const byId = compileAuditSearch(plan([{ kind: 'id', any: ['a', 'b'] }, own], { type: 'AuditEvent' }));
  for (const compiled of [byId.page, byId.count]) {
    t.match(explain(compiled.sql)[0], /^SEARCH a USING .*\(id=\?\)/, 'named events are looked up by id');
  }

  const resources: readonly (readonly [string, readonly SearchClause[]])[] = [
    ['_label', [literal('author', 'Organization', 'E2'), own]],
    ['_label', [{ kind: 'string', param: 'family', match: 'starts', any: ['testchild'] }, own]],
    ['_label', [{ kind: 'uri', param: 'url', match: 'exact', any: ['u'] }, own]],
    ['_label', [{ kind: 'token', param: 'code', negated: false, any: [{ code: '1' }] }, own]],
    ['_label', [{ kind: 'token', param: 'identifier', negated: false, any: [{ system: 's' }] }, own]],
    ['identifier', [own, { kind: 'token', param: 'identifier', negated: false, any: [{ code: '1' }] }]],
    ['subject', [own, literal('subject', 'Patient', '9990000018')]],
  ];
  for (const [param, clauses] of resources) {
    t.ok(compileSearch(plan(clauses)).count.params.slice(0, 3).includes(param), JSON.stringify(clauses));
  }
});
