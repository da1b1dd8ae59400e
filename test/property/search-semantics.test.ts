import fc from 'fast-check';
import { test } from 'tap';
import type { DatePrefix, IndexValue, SearchClause, SortKey } from '../../src/fhir/search/ast.ts';
import { matches } from '../../src/fhir/search/matches.ts';
import { searchInMemory } from '../../src/fhir/search/search-in-memory.ts';

const interval = fc
  .tuple(fc.integer({ min: 0, max: 8 }), fc.integer({ min: 1, max: 4 }))
  .map(([startMs, length]) => ({ startMs, endMs: startMs + length }));

/** The R4 text on prefixes, over the sets of moments that the intervals are; every moment from -1 to 20 counts. */
const prefixOracle: Record<DatePrefix, (search: readonly number[], target: readonly number[]) => boolean> = {
  eq: (search, target) => target.every((moment) => search.includes(moment)),
  ne: (search, target) => target.some((moment) => !search.includes(moment)),
  gt: (search, target) => target.some((moment) => moment > Math.max(...search)),
  ge: (search, target) => target.some((moment) => moment >= Math.min(...search)),
  lt: (search, target) => target.some((moment) => moment < Math.min(...search)),
  le: (search, target) => target.some((moment) => moment <= Math.max(...search)),
  sa: (search, target) => target.every((moment) => moment > Math.max(...search)),
  eb: (search, target) => target.every((moment) => moment < Math.min(...search)),
  ap: (search, target) => target.some((moment) => search.includes(moment)),
};

function moments({ startMs, endMs }: { startMs: number; endMs: number }): number[] {
  return Array.from({ length: endMs - startMs }, (_, i) => startMs + i);
}

test('date prefixes are those of R4 on sets of moments', async (t) => {
  fc.assert(
    fc.property(
      fc.constantFrom(...(Object.keys(prefixOracle) as DatePrefix[])),
      interval,
      interval,
      (prefix, search, target) => {
        const clause: SearchClause = { kind: 'date', param: 'date', any: [{ prefix, ...search }] };
        const meta = { id: 'a', lastUpdatedMs: 0, labels: [] };
        const found = matches([clause], [{ kind: 'date', param: 'date', ...target }], meta);
        return found === prefixOracle[prefix](moments(search), moments(target));
      },
    ),
    { numRuns: 3000 },
  );
  t.pass();
});

const small = fc.constantFrom('a', 'b', 'c');
const system = fc.constantFrom('s', 't', null);
const tokens = fc.array(
  fc.record({ kind: fc.constant('token' as const), param: fc.constantFrom('p', 'q'), system, code: small }),
  { maxLength: 4 },
);
const tokenClauses = fc.array(
  fc.record({
    kind: fc.constant('token' as const),
    param: fc.constantFrom('p', 'q'),
    negated: fc.boolean(),
    any: fc.array(
      fc.oneof(
        fc.record({ system: fc.constantFrom('s', null), code: small }),
        fc.record({ code: small }),
        fc.record({ system: fc.constantFrom('s', 't') }),
      ),
      { minLength: 1, maxLength: 3 },
    ),
  }),
  { maxLength: 3 },
);

/** All the `system|code` texts that a token search value stands for. */
function spellings(any: readonly { system?: string | null; code?: string }[]): Set<string> {
  const texts = new Set<string>();
  for (const { system: wanted, code } of any) {
    for (const each of wanted === undefined ? ['s', 't', null] : [wanted]) {
      for (const one of code === undefined ? ['a', 'b', 'c'] : [code]) texts.add(`${each}|${one}`);
    }
  }
  return texts;
}

test('tokens match as sets do', async (t) => {
  fc.assert(
    fc.property(tokenClauses, tokens, (clauses, values) => {
      const expected = clauses.every(({ param, negated, any }) => {
        const held = values.filter((token) => token.param === param).map((token) => `${token.system}|${token.code}`);
        const common = spellings(any).intersection(new Set(held)).size;
        return negated ? common === 0 : common > 0;
      });
      return matches(clauses, values, { id: 'a', lastUpdatedMs: 0, labels: [] }) === expected;
    }),
    { numRuns: 2000 },
  );
  t.pass();
});

const sortKeys: fc.Arbitrary<SortKey[]> = fc.uniqueArray(
  fc.record({ param: fc.constantFrom('p', 'date', '_lastUpdated', '_id'), descending: fc.boolean() }),
  { selector: ({ param }) => param, maxLength: 3 },
);
const dates = fc.array(
  interval.map((range) => ({ kind: 'date' as const, param: 'date', ...range })),
  { maxLength: 2 },
);

test('pages put together are the whole: nothing twice, nothing left out', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(tokens, dates, fc.integer({ min: 0, max: 2 })), { maxLength: 12 }),
      sortKeys,
      fc.integer({ min: 1, max: 5 }),
      (drawn, sort, limit) => {
        const candidates = drawn.map(([held, when, lastUpdatedMs], i) => ({
          resource: { id: `r${i}`, lastUpdatedMs, labels: [] },
          values: [...held, ...when] as IndexValue[],
        }));
        const plan = { type: 'Flag', clauses: [], sort, total: false };
        const whole = searchInMemory({ ...plan, limit: 100 }, candidates).matches.map(({ id }) => id);
        const paged: string[] = [];
        let page = searchInMemory({ ...plan, limit }, candidates);
        for (;;) {
          paged.push(...page.matches.map(({ id }) => id));
          if (page.next === undefined) break;
          page = searchInMemory({ ...plan, limit, after: page.next }, candidates);
        }
        return paged.join() === whole.join() && new Set(whole).size === candidates.length;
      },
    ),
    { numRuns: 500 },
  );
  t.pass();
});
