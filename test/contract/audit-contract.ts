import type { DateValue, KeysetPosition, SearchClause, SearchPlan } from '../../src/fhir/search/ast.ts';
import type { ContractTest } from './contract-test.ts';
import { audit, findAllIds, findIds, plan, unit, write } from './fixtures.ts';

const audits = (clauses: readonly SearchClause[], changes: Partial<SearchPlan> = {}) =>
  plan(clauses, { type: 'AuditEvent', ...changes });

const reference = (param: string, ...ids: readonly string[]): SearchClause => ({
  kind: 'reference',
  param,
  any: ids.map((text) => {
    const [type = '', id = ''] = text.split('/');
    return type === '' ? { kind: 'literal', id } : { kind: 'literal', type, id };
  }),
});

const token = (param: string, code: string, negated = false, system?: string | null): SearchClause => ({
  kind: 'token',
  param,
  negated,
  any: [system === undefined ? { code } : { system, code }],
});

export const auditTests: readonly ContractTest[] = [
  {
    name: 'AuditEvents are read as version 1 and found by each of their parameters',
    run: async (t, { store }) => {
      const first = audit('a1', { recordedMs: 10, labels: ['x', 'y'], subtype: 'read', action: 'R' });
      const second = audit('a2', {
        recordedMs: 20,
        patients: [],
        agents: ['Practitioner/p1', 'Organization/E1'],
        entities: ['Flag/f1', 'Organization/E1'],
        outcome: '8',
        labels: ['x'],
      });
      const third = audit('a3', {
        recordedMs: 20,
        patients: ['Patient/1', 'Patient/2'],
        labels: [],
        agents: ['Device/p1'],
      });
      await store.commit(unit({ audits: [first, second] }));
      await store.commit(unit({ audits: [third], writes: [write('f1')] }));
      const stored = {
        type: 'AuditEvent',
        id: 'a1',
        version: 1,
        lastUpdatedMs: 10,
        body: first.body,
        labels: ['x', 'y'],
      };
      t.match(await store.read('AuditEvent', 'a1'), { kind: 'found', resource: stored });
      t.match(await store.readVersion('AuditEvent', 'a1', 1), { kind: 'found', resource: stored });
      t.same(await store.readVersion('AuditEvent', 'a1', 2), { kind: 'absent' });
      t.same(await store.read('AuditEvent', 'f1'), { kind: 'absent' });
      const found = (...clauses: readonly SearchClause[]) => findIds(store, audits(clauses));
      t.same(await found(), ['a3', 'a2', 'a1'], 'newest first; at equal times, the last written first');
      t.same(await found(reference('patient', 'Patient/9990000018')), ['a1']);
      t.same(await found(reference('patient', 'Patient/1', 'Patient/2')), ['a3'], 'only once, although both match');
      t.same(await found(reference('patient', '/1')), ['a3']);
      t.same(await found(reference('patient', '/1', 'Patient/9990000018')), ['a3', 'a1']);
      t.same(await found(reference('patient', '/999')), [], 'a prefix of an id does not match');
      t.same(await found(reference('agent', '/p1')), ['a3', 'a2'], 'any type');
      t.same(await found(reference('agent', 'Practitioner/p1')), ['a2']);
      const starts = (type: string, ...ids: readonly string[]): SearchClause => ({
        kind: 'reference',
        param: 'agent',
        any: ids.map((id) => ({ kind: 'literal', type, id, isPrefix: true })),
      });
      t.same(await found(starts('Practitioner', 'p')), ['a2'], 'the beginning of an id, of one type');
      t.same(await found(starts('Device', 'p', 'p1')), ['a3'], 'only once');
      t.same(await found(starts('Practitioner', '')), ['a2']);
      t.same(await found(starts('Practitioner', 'q', 'p2', 'P')), []);
      t.same(await found(starts('Practitioner', 'p'), token('outcome', '8')), ['a2']);
      t.same(await found(starts('Practitioner', 'p'), { kind: 'label', any: ['x'] }), ['a2']);
      t.same(await found(starts('Device', 'p'), { kind: 'label', any: ['x'] }), []);
      t.same(await found(reference('entity', 'Practitioner/p1')), [], 'an agent is not an entity');
      t.same(await found(reference('entity', 'Organization/E1'), reference('agent', 'Organization/E1')), ['a2']);
      t.same(await found({ kind: 'reference', param: 'patient', any: [{ kind: 'identifier', value: '1' }] }), []);
      t.same(await found({ kind: 'label', any: ['x'] }), ['a2', 'a1']);
      t.same(await found({ kind: 'label', any: ['y', 'x'] }), ['a2', 'a1']);
      t.same(await found({ kind: 'label', any: [] }), []);
      t.same(await found({ kind: 'label', any: ['x'] }, reference('patient', 'Patient/9990000018')), ['a1']);
      t.same(await found({ kind: 'label', any: ['y'] }, { kind: 'label', any: ['x'] }), ['a1']);
      t.same(await found({ kind: 'label', any: [], groups: [['x', 'y']] }), ['a1']);
      t.same(
        await found({
          kind: 'label',
          any: ['z'],
          groups: [
            ['x', 'y'],
            ['z', 'x'],
          ],
        }),
        ['a1'],
      );
      t.same(await found({ kind: 'label', any: ['x'], groups: [['y', 'z']] }), ['a2', 'a1']);
      t.same(
        await found({ kind: 'label', any: ['z'], groups: [['x', 'y']] }, reference('patient', 'Patient/9990000018')),
        ['a1'],
      );
      const seen: SearchClause = { kind: 'label', any: ['x'] };
      t.same(await found(seen, reference('agent', 'Organization/E1')), ['a2']);
      t.same(await found(seen, reference('agent', '/p1')), ['a2']);
      t.same(await found(seen, reference('entity', 'Flag/f1', 'Organization/E1')), ['a2']);
      t.same(await found(seen, token('outcome', '8'), reference('agent', 'Organization/E1')), ['a2']);
      t.same(await found(seen, token('outcome', '8', true)), ['a1']);
      t.same(await found(seen, { kind: 'missing', param: 'patient', missing: false }), ['a1']);
      for (const [total, clauses] of [
        [2, [seen]],
        [1, [seen, token('outcome', '8')]],
        [1, [seen, { kind: 'last-updated', any: [{ prefix: 'ge', startMs: 20, endMs: 21 }] }]],
      ] as const) {
        t.equal((await store.search(audits(clauses, { limit: 0, total: true }))).total, total);
      }
      t.same(await found({ kind: 'id', any: ['a1', 'a3', 'f1'] }), ['a3', 'a1']);
      t.same(await found({ kind: 'id', any: ['a3'] }, { kind: 'label', any: ['x'] }), []);
      t.same(await found(token('action', 'R')), ['a1']);
      t.same(await found(token('action', 'R', true)), ['a3', 'a2']);
      t.same(await found(token('subtype', 'read', false, 'http://hl7.org/fhir/restful-interaction')), ['a1']);
      t.same(await found(token('subtype', 'read', false, 'http://other')), []);
      t.same(await found(token('subtype', 'read', false, null)), []);
      t.same(await found(token('subtype', 'read', true, 'http://other')), ['a3', 'a2', 'a1']);
      t.same(await found(token('type', 'rest')), ['a3', 'a2', 'a1']);
      t.same(await found(token('outcome', '8')), ['a2']);
      t.same(await found({ kind: 'missing', param: 'patient', missing: true }), ['a2']);
      t.same(await found({ kind: 'missing', param: 'agent', missing: true }), []);
      t.same(await found({ kind: 'missing', param: 'date', missing: false }), ['a3', 'a2', 'a1']);
      t.same(await findIds(store, plan([])), ['f1'], 'AuditEvents are no other resources');
      const [lifeCycle, root] = ['plan-life-cycle', 'https://cpis-fhir.example.org/fhir/CodeSystem'];
      await store.commit(unit({ audits: [audit('a4', { recordedMs: 5, type: lifeCycle, subtype: 'ended' })] }));
      t.same(await found(token('type', lifeCycle)), ['a4']);
      t.same(await found(token('type', lifeCycle, true)), ['a3', 'a2', 'a1']);
      t.same(await found(token('type', lifeCycle, false, `${root}/audit-event-type`)), ['a4']);
      t.same(await found(token('type', 'rest', false, `${root}/audit-event-type`)), [], 'the type decides its system');
      t.same(await found(token('subtype', 'ended', false, `${root}/${lifeCycle}`)), ['a4']);
      t.same(await found(token('subtype', 'read', false, `${root}/${lifeCycle}`)), []);
      t.same(await found(token('subtype', 'ended', false, 'http://hl7.org/fhir/restful-interaction')), []);
      t.same(
        await found({ kind: 'token', param: 'subtype', negated: false, any: [{ system: `${root}/${lifeCycle}` }] }),
        ['a4'],
      );
      t.same(await found(token('action', 'E', false, 'http://hl7.org/fhir/audit-event-action')), ['a3', 'a2', 'a4']);
    },
  },
  {
    name: 'AuditEvents by date, with each prefix, alone and for one patient',
    run: async (t, { store }) => {
      await store.commit(unit({ audits: [10, 20, 30].map((recordedMs) => audit(`a${recordedMs}`, { recordedMs })) }));
      const cases: readonly (readonly [DateValue['prefix'], readonly string[]])[] = [
        ['eq', ['a20']],
        ['ne', ['a30', 'a10']],
        ['ge', ['a30', 'a20']],
        ['gt', ['a30']],
        ['le', ['a20', 'a10']],
        ['lt', ['a10']],
        ['sa', ['a30']],
        ['eb', ['a10']],
        ['ap', ['a20']],
      ];
      for (const [prefix, expected] of cases) {
        const any = [{ prefix, startMs: 20, endMs: 21 }];
        t.same(await findIds(store, audits([{ kind: 'date', param: 'date', any }])), expected, prefix);
        const clauses: SearchClause[] = [reference('patient', 'Patient/9990000018'), { kind: 'last-updated', any }];
        t.same(await findIds(store, audits(clauses)), expected, prefix);
        t.equal((await store.search(audits(clauses, { limit: 0, total: true }))).total, expected.length);
      }
    },
  },
  {
    name: 'pages of AuditEvents are stable while more are recorded',
    run: async (t, { store }) => {
      const ids = Array.from({ length: 30 }, (_, i) => `a${i}`);
      for (const [i, id] of ids.entries())
        await store.commit(unit({ audits: [audit(id, { recordedMs: 100 + (i >> 2) })] }));
      let more = 0;
      const record = async () => {
        more += 1;
        await store.commit(unit({ audits: [audit(`z${more}`, { recordedMs: 900 + more })] }));
      };
      const clauses = [reference('patient', 'Patient/9990000018')];
      t.same(await findAllIds(store, audits(clauses, { limit: 7 }), record), [...ids].reverse());
      t.ok(more >= 4);
      const before: SearchClause = { kind: 'date', param: 'date', any: [{ prefix: 'lt', startMs: 900, endMs: 901 }] };
      const descending = [{ param: 'date', descending: true }];
      t.same(await findAllIds(store, audits([before], { limit: 4, sort: descending }), record), [...ids].reverse());
      const ascending = [{ param: '_lastUpdated', descending: false }];
      t.same(await findAllIds(store, audits([before], { limit: 4, sort: ascending }), record), ids);
    },
  },
  {
    name: 'an AuditEvent about many patients is found by each of its references',
    run: async (t, { store }) => {
      const patients = Array.from({ length: 40 }, (_, i) => `Patient/${i}`);
      const entities = [...patients.slice(20), 'Flag/f1'];
      const agents = ['Organization/E1', 'Patient/39'];
      await store.commit(unit({ audits: [audit('many', { patients, entities, agents }), audit('one')] }));
      const finds = async (param: string, searched: string, expected: boolean) =>
        t.same(await findIds(store, audits([reference(param, searched)])), expected ? ['many'] : [], param + searched);
      for (const [i, patient] of patients.entries()) {
        await finds('patient', patient, true);
        await finds('entity', patient, i >= 20);
        await finds('agent', patient, i === 39);
        const anyType: SearchClause = { kind: 'reference', param: 'patient', any: [{ kind: 'literal', id: `${i}` }] };
        t.same(await findIds(store, audits([anyType])), ['many'], `of any type: ${i}`);
      }
      const between: SearchClause = { kind: 'reference', param: 'patient', any: [{ kind: 'literal', id: '1.5' }] };
      t.same(await findIds(store, audits([between])), [], 'an id between two others does not match');
      await finds('entity', 'Flag/f1', true);
      await finds('patient', 'Flag/f1', false);
      await finds('agent', 'Organization/E1', true);
    },
  },
  {
    name: 'a page of AuditEvents ends when its texts reach the maximum length, and the next page continues',
    run: async (t, { store }) => {
      const body = (length: number) => JSON.stringify({ resourceType: 'AuditEvent', text: 'x'.repeat(length) });
      const lengths = [10, 10, 5_000, 10, 2_000, 2_000, 10];
      for (const [i, length] of lengths.entries())
        await store.commit(unit({ audits: [audit(`a${i}`, { recordedMs: 100 + i, body: body(length) })] }));
      const pages: string[][] = [];
      let after: KeysetPosition | undefined;
      do {
        const searched = audits([], { limit: 4, maxLength: 3_000, ...(after === undefined ? {} : { after }) });
        const page = await store.search({ ...searched, total: true });
        pages.push(page.matches.map(({ id }) => id));
        t.equal(page.total, lengths.length);
        after = page.next;
      } while (after !== undefined);
      t.same(pages, [
        ['a6', 'a5', 'a4'],
        ['a3', 'a2'],
        ['a1', 'a0'],
      ]);
      const exact = await store.search(audits([], { limit: 7, maxLength: 1_000_000 }));
      t.equal(exact.matches.length, 7);
      t.equal(exact.next, undefined);
    },
  },
  {
    name: 'AuditEvents are append-only',
    run: async (t, { store, reopen }) => {
      await store.commit(unit({ audits: [audit('a1')] }));
      const again = unit({ audits: [audit('a1', { body: '{}' })], writes: [write('f1')] });
      t.match(await store.commit(again), { kind: 'refused', reason: 'duplicate-key', type: 'AuditEvent', id: 'a1' });
      t.match(await store.commit(unit({ audits: [audit('a2'), audit('a2')] })), { reason: 'duplicate-key', id: 'a2' });
      for (const version of [1, 2]) {
        await t.rejects(store.commit(unit({ writes: [write('a1', { type: 'AuditEvent', version, body: null })] })));
      }
      const reopened = await reopen();
      t.match(await reopened.read('AuditEvent', 'a1'), { kind: 'found', resource: { body: audit('a1').body } });
      t.same(await reopened.read('Flag', 'f1'), { kind: 'absent' });
      t.same(await findIds(reopened, audits([])), ['a1']);
    },
  },
];
