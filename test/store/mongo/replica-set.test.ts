/** What only a replica set has: run with CPIS_TEST_MONGODB_URL, see docs/mongodb.md. */
import { type Document, MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import type { SearchClause, SearchPlan, SortKey } from '../../../src/fhir/search/ast.ts';
import { oldestFirst, tallyText, taskText, timedText } from '../../../src/store/mongo/encoding/delivery-place.ts';
import { openCollections } from '../../../src/store/mongo/encoding/documents.ts';
import { openMongoStore } from '../../../src/store/mongo/open-mongo-store.ts';
import { compileAuditSearch } from '../../../src/store/mongo/search/compile-audit-search.ts';
import {
  compileCurrent,
  compilePast,
  compilePastPage,
  newestFirst,
} from '../../../src/store/mongo/search/compile-history.ts';
import {
  compileFilter,
  compileSortedPage,
  compileUnsortedPage,
} from '../../../src/store/mongo/search/compile-search.ts';
import { beginning } from '../../../src/store/mongo/search/compile-value.ts';
import { audit, plan, readFound, unit, write } from '../../contract/fixtures.ts';
import { noReplicaSet, openMongoServer } from '../../support/mongo-server.ts';
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

async function runTests(): Promise<void> {
  const server = await openMongoServer(t);
  const collectionsOf = (test: Test, url: string) => {
    const client = new MongoClient(url);
    test.teardown(() => client.close());
    return openCollections(client.db(new URL(url).pathname.slice(1)));
  };

  await t.test('explain: no search, history, claim or look at what is owed scans a collection', async (test) => {
    const { store, url } = await openTestStore(test, server);
    await store.commit(
      unit({ writes: [write('f1', { labels: ['l'] })], audits: [audit('a1', { deliverTo: ['E1'] })] }),
    );
    const { resource, audit: audits } = collectionsOf(test, url);
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
      await check(resource.aggregate([...compilePast(told, scope), ...compilePastPage(told)]), told);
    }
    const queued: readonly Document[] = [
      { $eq: taskText('ready', 'E1') },
      { $in: [tallyText('owed', 'E1'), tallyText('parked', 'E1')] },
      { $elemMatch: { $gte: taskText('waiting', 'E1'), $lte: timedText('waiting', 'E1', 1) } },
      { $elemMatch: beginning(taskText('waiting', 'E1')) },
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

  await t.test('a unit over several documents is a transaction: all or nothing among others', async (test) => {
    const { store } = await openTestStore(test, server);
    test.equal(store.deployment, 'replicated');
    await store.commit(unit({ writes: [write('p1', { type: 'Patient' })] }));
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, i) =>
        store.commit(
          unit({
            writes: [write(`f${i}`, { uniqueKeys: [`k${i % 4}`] })],
            guards: [{ type: 'Patient', id: 'p1', expectRevision: 1 }],
            audits: [audit(`a${i}`, { deliverTo: ['E1'] })],
          }),
        ),
      ),
    );
    test.equal(results.filter(({ kind }) => kind === 'committed').length, 1);
    test.match(await readFound(store, 'Patient', 'p1'), { revision: 2 });
    test.equal((await store.search(plan([], { limit: 0, total: true }))).total, 1);
    test.match(await store.deliveries.backlog(), [{ authority: 'E1', undelivered: 1 }]);
  });

  await t.test('a change stream wakes for what nobody could find by looking: it is not due yet', async (test) => {
    const one = await openTestStore(test, server);
    const other = await openMongoStore({
      url: one.url,
      timeoutMs: 10_000,
      dangerouslyAllowStandalone: false,
      onError: (error) => test.error(error),
    });
    test.teardown(() => other.close());
    const { watch } = other.deliveries;
    if (watch === undefined) throw new Error('this store watches');
    const woken = new Promise<string>((resolve) => test.teardown(watch(resolve)));
    let count = 0;
    const commits = setInterval(() => {
      count += 1;
      void one.store.commit(unit({ audits: [audit(`a${count}`, { recordedMs: 9e12, deliverTo: ['E1'] })] }));
    }, 200);
    test.equal(await woken, 'E1');
    clearInterval(commits);
  });
}

if (noReplicaSet !== undefined) t.plan(0, noReplicaSet);
else await runTests();
