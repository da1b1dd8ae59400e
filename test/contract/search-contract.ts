import type { DateValue, IndexValue, SearchClause, TokenValue } from '../../src/fhir/search/ast.ts';
import type { Store } from '../../src/store/store.ts';
import type { ContractTest } from './contract-test.ts';
import { findAllIds, findIds, plan, token, unit, write } from './fixtures.ts';

const hostile = [
  "'; DROP TABLE resource; --",
  '" OR 1=1 --',
  '%',
  '_',
  '\\',
  '$ne',
  '{"$gt":""}',
  '\u0000',
  'a\u0000b',
  '🦉',
  '.*',
  '?1',
  '',
];

const string = (text: string): IndexValue => ({
  kind: 'string',
  param: 'name',
  normalised: text.toLowerCase(),
  exact: text,
});
const date = (startMs: number, endMs: number): IndexValue => ({ kind: 'date', param: 'date', startMs, endMs });
const tokens = (any: readonly TokenValue[], negated = false): SearchClause => ({
  kind: 'token',
  param: 'code',
  negated,
  any,
});
const dates = (...any: readonly DateValue[]): SearchClause => ({ kind: 'date', param: 'date', any });
const strings = (match: 'starts' | 'contains' | 'exact', ...any: readonly string[]): SearchClause => ({
  kind: 'string',
  param: 'name',
  match,
  any,
});

async function writeAll(store: Store, resources: Readonly<Record<string, readonly IndexValue[]>>): Promise<void> {
  const writes = Object.entries(resources).map(([id, index]) => write(id, { index, labels: [`of-${id}`] }));
  await store.commit(unit({ writes }));
}

export const searchTests: readonly ContractTest[] = [
  {
    name: 'token, reference, uri, string, id, label and missing clauses',
    run: async (t, { store }) => {
      await writeAll(store, {
        a: [token('code', 'x', 's'), token('code', 'y', 't'), { kind: 'uri', param: 'url', value: 'http://a/1' }],
        b: [token('code', 'x'), { kind: 'reference', param: 'subject', type: 'Patient', id: '1' }],
        c: [{ kind: 'reference', param: 'subject', type: 'Group', id: '1' }, string('Ánna'), string('Bob')],
        d: [{ kind: 'reference-identifier', param: 'subject', system: 's', value: '1' }, string('bobby')],
      });
      await store.commit(unit({ writes: [write('a', { type: 'Patient', index: [token('code', 'x', 's')] })] }));
      const found = (...clauses: readonly SearchClause[]) => findIds(store, plan(clauses));
      t.same(await found(tokens([{ code: 'x' }])), ['a', 'b']);
      t.same(await found(tokens([{ system: 's', code: 'x' }])), ['a']);
      t.same(await found(tokens([{ system: null, code: 'x' }])), ['b']);
      t.same(await found(tokens([{ system: 't' }])), ['a']);
      t.same(await found(tokens([{ system: 't', code: 'x' }])), [], 'system and code must match one value');
      t.same(await found(tokens([{ code: 'x' }, { code: 'y' }])), ['a', 'b']);
      t.same(await found(tokens([{ code: 'y' }], true)), ['b', 'c', 'd']);
      t.same(await found(tokens([{ code: 'x' }, { code: 'y' }], true)), ['c', 'd']);
      t.same(await found(tokens([])), []);
      t.same(await found(tokens([], true)), ['a', 'b', 'c', 'd']);
      const subject = (...any: Extract<SearchClause, { kind: 'reference' }>['any']): SearchClause => ({
        kind: 'reference',
        param: 'subject',
        any,
      });
      t.same(await found(subject({ kind: 'literal', type: 'Patient', id: '1' })), ['b']);
      t.same(await found(subject({ kind: 'literal', id: '1' })), ['b', 'c']);
      t.same(await found(subject({ kind: 'identifier', system: 's', value: '1' })), ['d']);
      t.same(await found(subject({ kind: 'identifier', system: null, value: '1' })), []);
      t.same(await found(subject({ kind: 'identifier', value: '1' }, { kind: 'literal', type: 'Group', id: '1' })), [
        'c',
        'd',
      ]);
      t.same(await found({ kind: 'uri', param: 'url', match: 'exact', any: ['http://a/1', 'http://b'] }), ['a']);
      t.same(await found({ kind: 'uri', param: 'url', match: 'exact', any: ['http://a'] }), []);
      for (const [uri, expected] of [
        ['http://a', ['a']],
        ['http://a/', ['a']],
        ['http://a/1', ['a']],
        ['http://a/1/', []],
        ['http:', ['a']],
        ['http://a/11', []],
        ['http://', ['a']],
        ['ttp', []],
        ['h%', []],
      ] as const) {
        t.same(await found({ kind: 'uri', param: 'url', match: 'below', any: ['x', uri] }), expected, uri);
      }
      t.same(await found(strings('starts', 'bob')), ['c', 'd']);
      t.same(await found(strings('contains', 'bb', 'nn')), ['c', 'd']);
      t.same(await found(strings('exact', 'Bob')), ['c']);
      const many = Array.from({ length: 1_000 }, (_, i) => `${i}`);
      const patients = many.map((id) => ({ kind: 'literal', type: 'Patient', id }) as const);
      t.same(await found(subject(...patients)), ['b'], 'a long list, as a resolved chain');
      t.same(await found(subject(...patients), tokens([{ code: 'x' }])), ['b']);
      t.same(
        await found(
          tokens([{ code: 'x' }]),
          subject(...patients.map(({ id }) => ({ kind: 'literal', id }) as const).slice(0, 50)),
        ),
        ['b'],
      );
      t.same(await found(subject(...patients.slice(2))), []);
      t.same(await found({ kind: 'id', any: [...many, 'd', 'a'] }), ['a', 'd']);
      t.same(await found({ kind: 'id', any: [...many, 'd', 'a'] }, { kind: 'label', any: ['of-a'] }), ['a']);
      t.same(await found({ kind: 'id', any: ['d', 'a', 'zz'] }), ['a', 'd']);
      t.same(await found({ kind: 'id', any: [] }), []);
      t.same(await found({ kind: 'label', any: ['of-c', 'of-a', 'of-x'] }), ['a', 'c']);
      t.same(await found({ kind: 'label', any: ['of-c'] }), ['c']);
      t.same(await found({ kind: 'label', any: [] }), []);
      t.same(await found({ kind: 'missing', param: 'subject', missing: true }), ['a']);
      t.same(await found({ kind: 'missing', param: 'subject', missing: false }), ['b', 'c', 'd']);
      t.same(await found(tokens([{ code: 'x' }]), { kind: 'label', any: ['of-b'] }, { kind: 'id', any: ['b'] }), ['b']);
    },
  },
  {
    name: 'the next search finds what was committed, whichever clause drives',
    run: async (t, { store }) => {
      const driven: readonly SearchClause[][] = [
        [{ kind: 'id', any: ['w'] }],
        [{ kind: 'reference', param: 'patient', any: [{ kind: 'literal', type: 'Patient', id: '1' }] }],
        [tokens([{ code: 'x' }]), { kind: 'label', any: ['own'] }],
        [],
      ];
      for (let version = 1; version <= 30; version++) {
        const index: IndexValue[] = [
          token('code', 'x'),
          { kind: 'reference', param: 'patient', type: 'Patient', id: '1' },
        ];
        const body = JSON.stringify({ resourceType: 'Flag', id: 'w', version });
        await store.commit(unit({ writes: [write('w', { version, index, body, labels: ['own'] })] }));
        const found = await Promise.all(driven.map((clauses) => store.search(plan(clauses, { total: true }))));
        t.same(
          found.map(({ matches, total }) => [matches[0]?.version, total]),
          driven.map(() => [version, 1]),
        );
      }
    },
  },
  {
    name: 'parameters with a colon in the name: texts and typed identifiers',
    run: async (t, { store }) => {
      await writeAll(store, {
        a: [
          { kind: 'string', param: 'code:text', normalised: 'child plan', exact: 'Child plan' },
          token('identifier:of-type', 'v', 's|MR'),
          token('identifier', 'v', 't'),
        ],
        b: [token('code', 'child plan')],
      });
      const text = (value: string): SearchClause => ({
        kind: 'string',
        param: 'code:text',
        match: 'starts',
        any: [value],
      });
      const typed = (system: string): SearchClause => ({
        kind: 'token',
        param: 'identifier:of-type',
        negated: false,
        any: [{ system, code: 'v' }],
      });
      const found = (clause: SearchClause) => findIds(store, plan([clause]));
      t.same(await found(text('child')), ['a']);
      t.same(await found(text('plan')), []);
      t.same(await found(typed('s|MR')), ['a']);
      t.same(await found(typed('t')), []);
      t.same(await found({ kind: 'missing', param: 'code', missing: true }), ['a'], 'a text is not a code');
    },
  },
  {
    name: 'date prefixes compare intervals; _lastUpdated is an instant',
    run: async (t, { store }) => {
      await writeAll(store, { early: [date(10, 20)], late: [date(30, 40)], open: [date(15, 8.64e15)], none: [] });
      const found = (prefix: DateValue['prefix'], startMs: number, endMs: number) =>
        findIds(store, plan([dates({ prefix, startMs, endMs })]));
      t.same(await found('eq', 10, 20), ['early']);
      t.same(await found('eq', 5, 35), ['early']);
      t.same(await found('ne', 10, 20), ['late', 'open']);
      t.same(await found('ge', 20, 30), ['late', 'open']);
      t.same(await found('ge', 19, 30), ['early', 'late', 'open']);
      t.same(await found('gt', 30, 40), ['open']);
      t.same(await found('lt', 15, 30), ['early']);
      t.same(await found('le', 10, 15), ['early']);
      t.same(await found('sa', 5, 10), ['early', 'late', 'open']);
      t.same(await found('sa', 10, 15), ['late', 'open']);
      t.same(await found('eb', 20, 30), ['early']);
      t.same(await found('ap', 20, 31), ['late', 'open']);
      t.same(await found('ap', 19, 30), ['early', 'open']);
      t.same(await found('ap', 0, 10), []);
      t.same(
        await findIds(
          store,
          plan([dates({ prefix: 'eb', startMs: 20, endMs: 21 }, { prefix: 'sa', startMs: 29, endMs: 30 })]),
        ),
        ['early', 'late'],
      );
      const updated = (prefix: DateValue['prefix'], startMs: number, endMs: number) =>
        findIds(
          store,
          plan([
            { kind: 'last-updated', any: [{ prefix, startMs, endMs }] },
            { kind: 'id', any: ['early'] },
          ]),
        );
      t.same(await updated('eq', 1_001, 1_002), ['early']);
      t.same(await updated('gt', 1_001, 1_002), []);
      t.same(await updated('ge', 1_001, 1_002), ['early']);
      t.same(await updated('ne', 1_000, 1_001), ['early']);
      t.same(await updated('eb', 1_002, 1_003), ['early']);
      t.same(await updated('ap', 1_001, 1_002), ['early']);
      t.same(await updated('ap', 1_002, 1_003), []);
      t.same(await updated('lt', 1_001, 1_003), []);
    },
  },
  {
    name: 'search values are data, even if they look like a query',
    run: async (t, { store }) => {
      const values = Object.fromEntries(
        hostile.map((text, i) => [
          `h${i}`,
          [token('code', text, text), string(text), { kind: 'uri', param: 'url', value: text }] satisfies IndexValue[],
        ]),
      );
      await writeAll(store, values);
      for (const [i, text] of hostile.entries()) {
        const only = [`h${i}`];
        t.same(await findIds(store, plan([tokens([{ code: text }])])), only);
        if (text !== '') t.same(await findIds(store, plan([tokens([{ system: text, code: text }])])), only);
        t.same(await findIds(store, plan([strings('exact', text)])), only);
        t.same(await findIds(store, plan([{ kind: 'uri', param: 'url', match: 'exact', any: [text] }])), only);
        const starts = hostile.flatMap((other, j) =>
          other.toLowerCase().startsWith(text.toLowerCase()) ? [`h${j}`] : [],
        );
        t.same(await findIds(store, plan([strings('starts', text.toLowerCase())])), starts.sort());
        const contains = hostile.flatMap((other, j) =>
          other.toLowerCase().includes(text.toLowerCase()) ? [`h${j}`] : [],
        );
        t.same(await findIds(store, plan([strings('contains', text.toLowerCase())])), contains.sort());
        t.same(await findIds(store, plan([{ kind: 'id', any: [text] }])), []);
        t.same(await findIds(store, plan([{ kind: 'label', any: [text] }])), []);
        t.same(await store.read('Flag', text), { kind: 'absent' });
      }
      t.equal((await findIds(store, plan([]))).length, hostile.length);
    },
  },
  {
    name: 'total counts all matches; a limit of 0 counts only',
    run: async (t, { store }) => {
      await writeAll(store, { a: [], b: [], c: [] });
      const counted = await store.search(plan([], { limit: 2, total: true }));
      t.same([counted.total, counted.matches.length, counted.next], [3, 2, ['b']]);
      const last = await store.search(plan([], { limit: 2, total: true, after: ['b'] }));
      t.same([last.total, last.matches.length, last.next], [3, 1, undefined]);
      t.same(await store.search(plan([], { limit: 0, total: true })), { matches: [], next: undefined, total: 3 });
      t.equal((await store.search(plan([], { limit: 3 }))).total, undefined);
    },
  },
  {
    name: 'pages are stable while resources are inserted and deleted',
    run: async (t, { store }) => {
      const ids = Array.from({ length: 25 }, (_, i) => `m${String(i).padStart(2, '0')}`);
      const writes = ids.map((id, i) => write(id, { index: i % 5 === 0 ? [] : [date(i % 3, 100 - (i % 4))] }));
      await store.commit(unit({ writes }));
      for (const sort of [[], [{ param: 'date', descending: false }], [{ param: 'date', descending: true }]]) {
        let inserted = 0;
        const found = await findAllIds(store, plan([{ kind: 'id', any: ids }], { sort, limit: 4 }), async () => {
          inserted += 1;
          const id = `a-${sort.length}-${sort[0]?.descending}-${inserted}`;
          await store.commit(unit({ writes: [write(id, { index: [date(inserted % 3, 100)] })] }));
        });
        t.same([...found].sort(), ids, 'each once, none missing');
        t.same(
          found,
          await findIds(store, plan([{ kind: 'id', any: ids }], { sort })),
          'in the order of one large page',
        );
        t.ok(inserted >= 6);
      }
      let writing = true;
      let written = 0;
      const wanted = 1_000;
      const writer = async (name: string) => {
        for (let round = 0; writing && round < 1_000; round++) {
          const some = Array.from(
            { length: 20 },
            (_, i) => `m${String((i * 7 + round) % 100).padStart(2, '0')}-${name}${round}`,
          );
          const index = [date(round % 3, 100 - (round % 4))];
          await store.commit(unit({ writes: some.map((id) => write(id, { index, labels: ['brisk'] })) }));
          await store.commit(
            unit({ writes: some.map((id) => write(id, { version: 2, body: null, labels: ['brisk'] })) }),
          );
          if (writing) written += 2 * some.length;
        }
      };
      const writers = [writer('x'), writer('y')];
      const startedMs = performance.now();
      const orders = [[], [{ param: 'date', descending: true }], [{ param: '_lastUpdated', descending: false }]];
      for (let round = 0; round < 300 && (round < 3 || written < wanted); round++) {
        const seen = await findAllIds(store, plan([], { sort: orders[round % 3] ?? [], limit: 3 }));
        if (new Set(seen).size !== seen.length) t.fail('something twice');
        t.same(seen.filter((id) => ids.includes(id)).sort(), ids, 'none missing');
      }
      const seconds = (performance.now() - startedMs) / 1_000;
      writing = false;
      await Promise.all(writers);
      t.comment(`${Math.round(written / seconds)} inserts and deletes a second meanwhile`);
      const all = await findAllIds(store, plan([], { limit: 7, sort: [{ param: 'date', descending: true }] }));
      t.equal(new Set(all).size, all.length);
    },
  },
];
