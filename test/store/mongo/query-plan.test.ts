/** No query of the store scans a collection, by `explain`. */
import { type Document, MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import type { SearchClause, SearchPlan, SortKey } from '../../../src/fhir/search/ast.ts';
import { oldestFirst, tallyText, taskText, timedText } from '../../../src/store/mongo/encoding/delivery-place.ts';
import { openCollections } from '../../../src/store/mongo/encoding/documents.ts';
import { startingWith } from '../../../src/store/mongo/encoding/key-text.ts';
import { compileAuditSearch } from '../../../src/store/mongo/search/compile-audit-search.ts';
import {
  compileCurrent,
  compileKeyset,
  compilePast,
  newestFirst,
} from '../../../src/store/mongo/search/compile-history.ts';
import {
  compileFilter,
  compileSortedPage,
  compileUnsortedPage,
} from '../../../src/store/mongo/search/compile-search.ts';
import { audit, plan, unit, write } from '../../contract/fixtures.ts';
import { openMongoServer } from '../../support/mongo-server.ts';
import { openTestStore } from './open-test-store.ts';

const interval = { startMs: 1, endMs: 2 };
const prefixes = ['eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'] as const;

const resourceClauses: readonly SearchClause[] = [
  {
    kind: 'token',
    param: 'status',
    negated: false,
    any: [{ code: 'a' }, { system: 's' }, { system: null, code: 'b' }],
  },
  { kind: 'token', param: 'status', negated: true, any: [{ code: 'a' }] },
  { kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: '1' }] },
  { kind: 'reference', param: 'patient', any: [{ kind: 'identifier', value: '1' }] },
  { kind: 'date', param: 'date', any: prefixes.map((prefix) => ({ prefix, ...interval })) },
  { kind: 'string', param: 'name', match: 'starts', any: ['a', 'b'] },
  { kind: 'string', param: 'name', match: 'contains', any: ['a'] },
  { kind: 'string', param: 'name', match: 'exact', any: ['a'] },
  { kind: 'uri', param: 'url', match: 'below', any: ['u'] },
  { kind: 'missing', param: 'date', missing: true },
  { kind: 'missing', param: 'date', missing: false },
  { kind: 'id', any: ['a', 'b'] },
  { kind: 'last-updated', any: [{ prefix: 'ne', ...interval }] },
  { kind: 'label', any: ['l', 'm'] },
];

const sorts: readonly (readonly SortKey[])[] = [
  [
    { param: 'date', descending: true },
    { param: '_id', descending: false },
  ],
];

const auditClauses: readonly SearchClause[] = [
  { kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: '1' }] },
  { kind: 'reference', param: 'agent', any: [{ kind: 'literal', id: '1' }] },
  { kind: 'reference', param: 'entity', any: [{ kind: 'literal', type: 'Flag', id: '1' }] },
  { kind: 'token', param: 'outcome', negated: false, any: [{ code: '8' }] },
  { kind: 'missing', param: 'patient', missing: true },
  { kind: 'date', param: 'date', any: [{ prefix: 'ge', ...interval }] },
  { kind: 'id', any: ['a', 'b'] },
  { kind: 'label', any: ['l'] },
];

/** Every clause alone and with every other, on the first and a further page. */
function plansOf(type: string, clauses: readonly SearchClause[], after: readonly (string | number)[]): SearchPlan[] {
  const pairs = clauses.flatMap((clause, i) => clauses.slice(i + 1).map((other) => [clause, other]));
  const sets = [[], ...clauses.map((clause) => [clause]), ...pairs];
  return sets.flatMap((set) => [plan(set, { type }), plan(set, { type, after })]);
}

function collectionsOf(test: Test, url: string) {
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  return openCollections(client.db());
}

const server = await openMongoServer(t);

await t.test('explain: no search, history, claim or look at what is owed scans a collection', async (test) => {
  const { store, url } = await openTestStore(test, server);
  await store.commit(unit({ writes: [write('f1', { labels: ['l'] })], audits: [audit('a1', { deliverTo: ['E1'] })] }));
  const { resource, version, audit: audits } = collectionsOf(test, url);
  const isScan = (explained: Document) => JSON.stringify(explained).includes('"COLLSCAN"');
  test.ok(isScan(await resource.find({ body: 'x' }).explain('queryPlanner')), 'a scan would be seen');
  const check = async (work: { explain(verbosity: 'queryPlanner'): Promise<Document> }, of: unknown) => {
    if (isScan(await work.explain('queryPlanner'))) test.fail(`scans: ${JSON.stringify(of)}`);
  };
  for (const searched of plansOf('Flag', resourceClauses, ['x'])) {
    await check(resource.find(compileUnsortedPage(searched)).sort({ id: 1 }).limit(5), searched);
    await check(resource.find(compileFilter(searched)), searched);
  }
  for (const clause of resourceClauses) {
    for (const sort of sorts) {
      const searched = plan([clause], { sort });
      await check(resource.aggregate(compileSortedPage(searched)), searched);
    }
  }
  for (const searched of plansOf('AuditEvent', auditClauses, [1, 'x'])) {
    const { page, sort } = compileAuditSearch(searched);
    await check(audits.find(page).sort(sort).limit(5), searched);
  }
  const told = { scopes: [{ type: 'Flag', now: ['l'], written: ['l'] }], limit: 5, total: false };
  for (const scope of told.scopes) {
    await check(resource.find(compileCurrent(told, scope)).sort(newestFirst).limit(5), told);
    const position = { ms: 1, key: 'Flag/f1', version: 1 };
    await check(version.find({ $and: [compilePast(told, scope), compileKeyset(position, 'past')] }), told);
    await check(version.find(compilePast(told, scope)).sort(newestFirst).limit(5), told);
  }
  const queued: readonly Document[] = [
    { $eq: taskText('ready', 'E1') },
    { $in: [tallyText('owed', 'E1'), tallyText('parked', 'E1')] },
    { $elemMatch: { $gte: taskText('waiting', 'E1'), $lte: timedText('waiting', 'E1', 1) } },
    { $elemMatch: startingWith(taskText('waiting', 'E1')) },
    { $elemMatch: { $gte: 'leased|', $lt: 'leased}' } },
  ];
  for (const queue of queued) {
    await check(
      audits
        .find({ undelivered: { $gt: 0 }, queue })
        .sort(oldestFirst)
        .limit(5),
      queue,
    );
  }
});

/** Names of the stages and indexes of an explained query, and what it read. */
function work(explained: Document) {
  const stages = new Set<string>();
  const indexes = new Set<string>();
  const walk = (stage: Document): void => {
    stages.add(String(stage['stage']));
    if (stage['indexName'] !== undefined) indexes.add(String(stage['indexName']));
    for (const inner of [stage['inputStage'], ...(stage['inputStages'] ?? [])]) if (inner !== undefined) walk(inner);
  };
  walk(explained['queryPlanner'].winningPlan);
  const { totalDocsExamined, nReturned } = explained['executionStats'];
  return { stages, indexes: [...indexes], examined: Number(totalDocsExamined), returned: Number(nReturned) };
}

await t.test('explain: each hot query uses its own index, reads what it returns, and sorts nothing', async (test) => {
  const { store, url } = await openTestStore(test, server);
  const count = 400;
  const patientOf = (index: number): string => `99900${String(index % 100).padStart(5, '0')}`;
  for (let first = 0; first < count; first += 50) {
    const indexes = Array.from({ length: 50 }, (_, offset) => first + offset);
    await store.commit(
      unit({
        writes: indexes.map((index) =>
          write(`f${index}`, {
            labels: ['l', `owner:E${index % 7}`],
            index: [
              { kind: 'reference', param: 'patient', type: 'Patient', id: patientOf(index) },
              { kind: 'token', param: 'identifier', system: 's', code: `ref-${index}` },
            ],
          }),
        ),
        audits: indexes.map((index) =>
          audit(`a${index}`, {
            recordedMs: index,
            patients: [`Patient/${patientOf(index)}`],
            agents: [`Organization/E${index}`],
            labels: ['access-history', `viewer:E${index % 7}`],
            deliverTo: ['E1'],
          }),
        ),
      }),
    );
  }
  const { resource, audit: audits, uniqueKey } = collectionsOf(test, url);
  const label: SearchClause = { kind: 'label', any: ['l'] };
  const literal = (param: string, type: string, id: string): SearchClause => ({
    kind: 'reference',
    param,
    any: [{ kind: 'literal', type, id }],
  });
  const flags = (...clauses: readonly SearchClause[]) =>
    resource
      .find(compileUnsortedPage(plan(clauses, { type: 'Flag' })))
      .sort({ id: 1 })
      .limit(51);
  const events = (...clauses: readonly SearchClause[]) => {
    const { page, sort } = compileAuditSearch(plan(clauses, { type: 'AuditEvent' }));
    return audits.find(page).sort(sort).limit(26);
  };
  const owed = (key: string) =>
    audits
      .find({ undelivered: { $gt: 0 }, queue: { $eq: key } })
      .sort(oldestFirst)
      .limit(10);
  const ofPatient = literal('patient', 'Patient', patientOf(3));
  const reference: SearchClause = {
    kind: 'token',
    param: 'identifier',
    negated: false,
    any: [{ system: 's', code: 'ref-9' }],
  };
  const queries: readonly (readonly [string, string, ReturnType<typeof flags> | ReturnType<typeof events>])[] = [
    ['the look-up of a child', 'by_key', flags(ofPatient, label)],
    ['the plan with a reference', 'by_key', flags(reference, label)],
    ['the plans of an authority', 'by_label', flags({ kind: 'label', any: ['owner:E3'] })],
    ['the access history of a child', 'by_patient', events(ofPatient, { kind: 'label', any: ['access-history'] })],
    ['the events of an authority', 'by_label', events({ kind: 'label', any: ['viewer:E3'] })],
    ['what an organisation did', 'by_agent', events(literal('agent', 'Organization', 'E77'))],
    ['the newest events', 'by_recorded', events()],
    ['what can be claimed', 'by_queue', owed(taskText('ready', 'E1'))],
    ['what is owed', 'by_queue', owed(tallyText('owed', 'E1'))],
  ];
  for (const [name, index, query] of queries) {
    const { stages, indexes, examined, returned } = work(await query.explain('executionStats'));
    test.strictSame(indexes, [index], name);
    test.ok(returned > 0 && examined <= returned + 2, `${name}: ${examined} examined for ${returned}`);
    for (const stage of ['SORT', 'COLLSCAN']) test.notOk(stages.has(stage), `${name}: no ${stage}`);
  }
  const byId = [
    resource.find({ _id: { $in: ['Flag/f1', 'Flag/f2'] } }),
    uniqueKey.find({ _id: { $in: ['k'] } }),
  ] as const;
  for (const query of byId) test.strictSame(work(await query.explain('executionStats')).indexes, ['_id_']);
});
