import fc from 'fast-check';
import type { IndexValue, SearchClause, SearchPlan } from '../../src/fhir/search/ast.ts';
import { searchInMemory } from '../../src/fhir/search/search-in-memory.ts';
import type { StoredResource } from '../../src/store/store.ts';
import type { ContractTest } from './contract-test.ts';
import { readFound, unit, write } from './fixtures.ts';

const text = fc.constantFrom(
  'a',
  'ab',
  'abc',
  'a/',
  'a/b',
  'b',
  'b\u0000',
  'é',
  '\ud7ff',
  '\ue000',
  '🦉',
  '🦉🦉',
  '%',
  "a'",
  '\u{10ffff}',
  '\u{10ffff}a',
);
const system = fc.constantFrom(null, 's', 't');
const targetType = fc.constantFrom('Patient', 'Group');
const moment = fc.integer({ min: -3, max: 12 });
const interval = fc
  .tuple(moment, fc.integer({ min: 1, max: 6 }))
  .map(([startMs, length]) => ({ startMs, endMs: startMs + length }));
const label = fc.constantFrom('l1', 'l2', 'l3');

const indexValue: fc.Arbitrary<IndexValue> = fc.oneof(
  fc.record({ kind: fc.constant('token' as const), param: fc.constantFrom('t1', 't2'), system, code: text }),
  fc.record({ kind: fc.constant('reference' as const), param: fc.constant('r'), type: targetType, id: text }),
  fc.record({ kind: fc.constant('reference-identifier' as const), param: fc.constant('r'), system, value: text }),
  interval.map((value) => ({ kind: 'date' as const, param: 'd', ...value })),
  fc.record({ kind: fc.constant('string' as const), param: fc.constant('s'), normalised: text, exact: text }),
  fc.record({ kind: fc.constant('uri' as const), param: fc.constant('u'), value: text }),
);

const dateValue = fc
  .tuple(fc.constantFrom('eq', 'ne', 'gt', 'lt', 'ge', 'le', 'sa', 'eb', 'ap'), interval)
  .map(([prefix, value]) => ({ prefix, ...value }) as const);
const any = <T>(value: fc.Arbitrary<T>) => fc.array(value, { minLength: 0, maxLength: 3, size: 'max' });
const tokenValue = fc.oneof(
  fc.record({ code: text }),
  fc.record({ system, code: text }),
  fc.record({ system: fc.constantFrom('s', 't') }),
);
const referenceValue = fc.oneof(
  fc.record({ kind: fc.constant('literal' as const), type: targetType, id: text }),
  fc.record({ kind: fc.constant('literal' as const), id: text }),
  fc.record({ kind: fc.constant('identifier' as const), system, value: text }),
  fc.record({ kind: fc.constant('identifier' as const), value: text }),
);
const param = fc.constantFrom('t1', 't2', 'r', 'd', 's', 'u', 'unknown');
const clause: fc.Arbitrary<SearchClause> = fc.oneof(
  fc.record({
    kind: fc.constant('token' as const),
    param: fc.constantFrom('t1', 't2'),
    negated: fc.boolean(),
    any: any(tokenValue),
  }),
  fc.record({ kind: fc.constant('reference' as const), param: fc.constant('r'), any: any(referenceValue) }),
  fc.record({ kind: fc.constant('date' as const), param: fc.constant('d'), any: any(dateValue) }),
  fc.record({
    kind: fc.constant('string' as const),
    param: fc.constant('s'),
    match: fc.constantFrom('starts', 'contains', 'exact'),
    any: any(fc.oneof(text, fc.constant(''))),
  }),
  fc.record({
    kind: fc.constant('uri' as const),
    param: fc.constant('u'),
    match: fc.constantFrom('exact', 'below'),
    any: any(text),
  }),
  fc.record({ kind: fc.constant('missing' as const), param, missing: fc.boolean() }),
  fc.record({ kind: fc.constant('id' as const), any: any(fc.nat(29).map((n) => `f${n}`)) }),
  fc.record({ kind: fc.constant('last-updated' as const), any: any(dateValue) }),
  fc.record({ kind: fc.constant('label' as const), any: any(label) }),
);

const sortKey = fc.record({
  param: fc.constantFrom('_id', '_lastUpdated', 't1', 't2', 'r', 'd', 's', 'u', 'unknown'),
  descending: fc.boolean(),
});
/** Code points around U+FFFF, whose order in UTF-16 units differs from their order as code points. */

const searchPlan: fc.Arbitrary<SearchPlan> = fc.record({
  type: fc.constant('Flag'),
  clauses: fc.array(clause, { maxLength: 3 }),
  sort: fc.array(sortKey, { maxLength: 3 }),
  limit: fc.integer({ min: 0, max: 8 }),
  total: fc.boolean(),
});

/** Run in every round, so that some searches find something. */
const everything: SearchPlan = { type: 'Flag', clauses: [], sort: [], limit: 8, total: true };

const population = fc.array(
  fc.record({
    lastUpdatedMs: moment,
    labels: fc.uniqueArray(label),
    index: fc.array(indexValue, { maxLength: 6, size: 'max' }),
  }),
  { minLength: 15, maxLength: 30, size: 'max' },
);

export const modelTests: readonly ContractTest[] = [
  {
    name: 'every search, over all its pages, finds what the model finds, in the same order',
    run: async (t, { store }) => {
      let round = 0;
      const seen = new Set<string>();
      await fc.assert(
        fc.asyncProperty(population, fc.array(searchPlan, { minLength: 20, maxLength: 20 }), async (members, plans) => {
          round += 1;
          const type = `Flag${round}`;
          const writes = members.map((member, i) => write(`f${i}`, { type, ...member }));
          await store.commit(unit({ writes }));
          const candidates: { resource: StoredResource; values: readonly IndexValue[] }[] = [];
          for (const { id, index } of writes)
            candidates.push({ resource: await readFound(store, type, id), values: index });
          for (const generated of [everything, ...plans]) {
            let searched: SearchPlan = { ...generated, type };
            while (true) {
              const expected = searchInMemory(searched, candidates);
              t.same(await store.search(searched), expected);
              for (const { id } of expected.matches) seen.add(id);
              if (expected.next === undefined || !t.passing()) break;
              searched = { ...searched, after: expected.next };
            }
            if (!t.passing()) throw new Error(`differs from the model: ${JSON.stringify(searched)}`);
          }
        }),
        { numRuns: 25, endOnFailure: true },
      );
      t.ok(seen.size > 10, 'the searches find something');
    },
  },
];
