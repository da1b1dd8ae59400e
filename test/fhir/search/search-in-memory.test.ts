import { test } from 'tap';
import type { IndexValue, SearchClause, SearchPlan, SortKey } from '../../../src/fhir/search/ast.ts';
import { type MatchMeta, matches } from '../../../src/fhir/search/matches.ts';
import { searchInMemory } from '../../../src/fhir/search/search-in-memory.ts';
import { clauseOf } from '../../support/search-fixture.ts';

const meta: MatchMeta = { id: 'f1', lastUpdatedMs: Date.UTC(2024, 4, 6, 12), labels: ['la:a', 'la:b'] };
const values: readonly IndexValue[] = [
  { kind: 'token', param: 'identifier', system: 's', code: '1' },
  { kind: 'token', param: 'identifier', system: null, code: '2' },
  { kind: 'token', param: 'status', system: 'http://hl7.org/fhir/flag-status', code: 'active' },
  { kind: 'reference', param: 'subject', type: 'Patient', id: '9990000018' },
  { kind: 'reference-identifier', param: 'subject', system: 'n', value: '9990000018' },
  { kind: 'date', param: 'date', startMs: Date.UTC(2024, 4, 6), endMs: Date.UTC(2024, 4, 10) },
];

test('what matches and what does not', async (t) => {
  const rows: [name: string, value: string, matches: boolean][] = [
    ['identifier', '1', true],
    ['identifier', 's|1', true],
    ['identifier', 's|', true],
    ['identifier', 's|2', false],
    ['identifier', '|2', true],
    ['identifier', '|1', false],
    ['identifier', 'z|9,|2', true],
    ['identifier:not', '1', false],
    ['identifier:not', '3', true],
    ['identifier:not', '3,2', false],
    ['code:not', 'x', true],
    ['code', 'x', false],
    ['status', 'http://hl7.org/fhir/flag-status|active', true],
    ['status', 'ACTIVE', false],
    ['subject', '9990000018', true],
    ['subject', 'Patient/9990000018', true],
    ['subject', 'Group/9990000018', false],
    ['subject:identifier', 'n|9990000018', true],
    ['subject:identifier', '9990000018', true],
    ['subject:identifier', '|9990000018', false],
    ['author', 'Organization/x', false],
    ['author:missing', 'true', true],
    ['author:missing', 'false', false],
    ['subject:missing', 'true', false],
    ['subject:missing', 'false', true],
    ['_id', 'f1', true],
    ['_id', 'F1', false],
    ['_lastUpdated', '2024-05-06', true],
    ['_lastUpdated', 'gt2024-05-06', false],
    ['_lastUpdated', 'ge2024-05-06T12:00:00Z', true],
    ['date', '2024-05', true],
    ['date', '2024-05-06', false],
    ['date', 'ne2024-05', false],
    ['date', 'ne2024-05-06', true],
    ['date', 'gt2024-05-08', true],
    ['date', 'gt2024-05-09', false],
    ['date', 'ge2024-05-09', true],
    ['date', 'ge2024-05-10', false],
    ['date', 'lt2024-05-06', false],
    ['date', 'lt2024-05-07', true],
    ['date', 'le2024-05-06', true],
    ['date', 'le2024-05-05', false],
    ['date', 'sa2024-05-05', true],
    ['date', 'sa2024-05-06', false],
    ['date', 'eb2024-05-10', true],
    ['date', 'eb2024-05-09', false],
  ];
  for (const [name, value, expected] of rows) {
    t.equal(matches([clauseOf('Flag', name, value)], values, meta), expected, `${name}=${value}`);
  }
  const texts: readonly IndexValue[] = [
    { kind: 'string', param: 'family', normalised: 'obrien smith', exact: "O'Brien-Smith" },
  ];
  const byFamily: [name: string, value: string, matches: boolean][] = [
    ['family', 'Obrien', true],
    ['family', 'smith', false],
    ['family:contains', 'N SM', true],
    ['family:exact', "O'Brien-Smith", true],
    ['family:exact', "o'brien-smith", false],
  ];
  for (const [name, value, expected] of byFamily) {
    t.equal(matches([clauseOf('Patient', name, value)], texts, meta), expected, `${name}=${value}`);
  }
  t.ok(matches([], [], meta), 'no clause');
  t.ok(matches([{ kind: 'label', any: ['x', 'la:b'] }], [], meta));
  t.notOk(matches([{ kind: 'label', any: [] }], [], meta), 'no label allowed matches nothing');
});

interface Item extends MatchMeta {
  readonly name: string;
}

function candidate(id: string, name: string, dates: readonly [startMs: number, endMs: number][], codes: string[] = []) {
  const resource: Item = { id, name, lastUpdatedMs: 5, labels: [] };
  const index: IndexValue[] = [
    ...dates.map(([startMs, endMs]) => ({ kind: 'date', param: 'date', startMs, endMs }) as const),
    ...codes.map((code) => ({ kind: 'token', param: 'status', system: null, code }) as const),
    { kind: 'string', param: 'name', normalised: name, exact: name },
  ];
  return { resource, values: index };
}

const candidates = [
  candidate('d', 'b', [[10, 20]], ['x']),
  candidate('a', 'b', [[5, 40]], ['z', 'a']),
  candidate('c', '\u{1F600}', [], ['m']),
  candidate('b', '\uFF21', [
    [1, 2],
    [50, 60],
  ]),
];

function plan(changes: Partial<SearchPlan>): SearchPlan {
  return { type: 'Organization', clauses: [], sort: [], limit: 10, total: false, ...changes };
}

function idsOf(sort: readonly SortKey[]): string {
  return searchInMemory(plan({ sort }), candidates)
    .matches.map(({ id }) => id)
    .join('');
}

test('order', async (t) => {
  const by = (param: string, descending = false): SortKey => ({ param, descending });
  t.equal(idsOf([]), 'abcd', 'by id when nothing is asked for');
  t.equal(idsOf([by('_id', true)]), 'dcba');
  t.equal(idsOf([by('date')]), 'badc', 'the earliest start; missing last');
  t.equal(idsOf([by('date', true)]), 'badc', 'the latest end; missing last');
  t.equal(idsOf([by('status')]), 'acdb', 'the least code');
  t.equal(idsOf([by('status', true)]), 'adcb', 'the greatest code');
  t.equal(idsOf([by('name')]), 'adbc', 'by code point, then by id');
  t.equal(idsOf([by('_lastUpdated'), by('name'), by('_id', true)]), 'dabc');
});

test('pages and totals', async (t) => {
  const sort: SortKey[] = [{ param: 'date', descending: false }];
  const first = searchInMemory(plan({ sort, limit: 2, total: true }), candidates);
  t.equal(first.total, 4);
  t.strictSame(first.next, [5, 'a']);
  const second = searchInMemory(plan({ sort, limit: 2, after: first.next ?? [] }), candidates);
  t.strictSame(
    second.matches.map(({ id }) => id),
    ['d', 'c'],
  );
  t.equal(second.next, undefined, 'no page after the last');
  t.equal(second.total, undefined);
  const counted = searchInMemory(plan({ limit: 0, total: true }), candidates);
  t.strictSame(counted, { matches: [], next: undefined, total: 4 });
  const clauses: SearchClause[] = [{ kind: 'id', any: ['a', 'z'] }];
  t.equal(searchInMemory(plan({ clauses, total: true }), candidates).total, 1);
  t.strictSame(
    searchInMemory(plan({ sort, after: [null, 'a'] }), candidates).matches.map(({ id }) => id),
    ['c'],
    'after a position whose value is missing',
  );
});
