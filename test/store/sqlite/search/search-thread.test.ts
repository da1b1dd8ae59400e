import t from 'tap';
import { FhirFault } from '../../../../src/fhir/fault.ts';
import type { SearchClause, SearchPlan } from '../../../../src/fhir/search/ast.ts';
import { readsFew } from '../../../../src/store/sqlite/search/compile-search.ts';
import { plan, token, unit, write } from '../../../contract/fixtures.ts';
import { openTestStore } from '../open-test-store.ts';

const own: SearchClause = { kind: 'label', any: ['owner:E1'] };
const literal = (param: string, ...ids: readonly string[]): SearchClause => ({
  kind: 'reference',
  param,
  any: ids.map((id) => ({ kind: 'literal', type: 'Patient', id })),
});
const ids = Array.from({ length: 17 }, (_, i) => `${i}`);
const status: SearchClause = { kind: 'token', param: 'status', negated: false, any: [{ code: 'active' }] };
const identifier = (any: Extract<SearchClause, { kind: 'token' }>['any'], negated = false): SearchClause => ({
  kind: 'token',
  param: 'identifier',
  negated,
  any,
});

t.test('a search for a few children or records runs on the main thread, any other on the reader thread', async (t) => {
  const few: readonly SearchClause[][] = [
    [own, literal('patient', '1')],
    [status, literal('subject', ...ids.slice(1))],
    [own, { kind: 'id', any: ['a', 'b'] }],
    [own, identifier([{ system: 's', code: 'v' }])],
  ];
  for (const clauses of few) t.equal(readsFew(plan(clauses)), true, JSON.stringify(clauses));
  const long: readonly SearchClause[][] = [
    [],
    [own],
    [own, status],
    [own, literal('author', '1')],
    [own, literal('patient', ...ids)],
    [own, { kind: 'id', any: ids }],
    [own, identifier([{ system: 's' }])],
    [own, identifier([{ code: 'v' }], true)],
    [own, { kind: 'reference', param: 'patient', any: [{ kind: 'identifier', value: 'v' }] }],
    [own, { kind: 'string', param: 'family', match: 'contains', any: ['x'] }],
  ];
  for (const clauses of long) t.equal(readsFew(plan(clauses)), false, JSON.stringify(clauses));
  const audits = (clauses: readonly SearchClause[], total: boolean) => plan(clauses, { type: 'AuditEvent', total });
  t.equal(readsFew(audits([own, literal('patient', '1')], false)), true);
  t.equal(readsFew(audits([own, literal('patient', '1')], true)), false, 'a child may have many events to count');
  t.equal(readsFew(audits([own, literal('patient', '1', '2')], false)), false);
  t.equal(readsFew(audits([own, identifier([{ code: 'v' }])], false)), false);
});

t.test('a long search delays neither reads nor commits, nor the searches of others', async (t) => {
  const { store } = await openTestStore(t);
  for (let at = 0; at < 6_000; at += 1_000) {
    const writes = Array.from({ length: 1_000 }, (_, i) =>
      write(`w${at + i}`, { index: [token('status', 'active')], labels: ['owner:E1'] }),
    );
    await store.commit(unit({ writes }));
  }
  await store.commit(unit({ writes: [write('other', { labels: ['owner:E2'] })] }));
  const long: SearchPlan = plan([own, status], {
    sort: [{ param: 'status', descending: true }],
    limit: 5,
    total: true,
  });
  const ended: string[] = [];
  const note = (name: string) => (): void => void ended.push(name);
  const searches = Array.from({ length: 10 }, (_, i) => store.search(long).then(note(`long ${i}`)));
  const other = store.search(plan([{ kind: 'label', any: ['owner:E2'] }])).then(note('other'));
  await store.read('Flag', 'w1').then(note('read'));
  await store.commit(unit({ writes: [write('late', { labels: ['owner:E2'] })] })).then(note('commit'));
  await Promise.all([...searches, other]);
  t.equal(ended[0], 'read');
  t.ok(ended.indexOf('other') < ended.indexOf('long 2'), `labels alternate: ${ended.join()}`);
  t.equal(ended.length, 13);
  t.equal((await store.search(long)).total, 6_000);
});

t.test('a bounded number of searches waits for each label; closing rejects them', async (t) => {
  const { store } = await openTestStore(t);
  await store.commit(unit({ writes: [write('a', { labels: ['owner:E1'] })] }));
  const outcomes = await Promise.allSettled(Array.from({ length: 250 }, () => store.search(plan([own]))));
  const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as FhirFault] : []));
  t.equal(outcomes.length - refused.length, 201, 'one runs, 200 wait');
  for (const fault of refused) t.equal(fault.category, 'transient');
  const last = store.search(plan([own]));
  const waits = store.search(plan([own]));
  const closed = store.close();
  for (const search of [last, waits]) {
    await t.rejects(search, { category: 'transient' } as FhirFault);
  }
  await closed;
  await t.rejects(store.search(plan([own])), FhirFault);
});
