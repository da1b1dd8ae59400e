import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { IndexValue, SearchClause, SearchPlan } from '../../../src/fhir/search/ast.ts';
import { openConnection } from '../../../src/store/sqlite/connection.ts';
import { openPatientSearches } from '../../../src/store/sqlite/patient-searches.ts';
import { runSearch } from '../../../src/store/sqlite/run-search.ts';
import { openStatements } from '../../../src/store/sqlite/statements.ts';
import type { SearchResult } from '../../../src/store/store.ts';
import { plan, token, unit, write } from '../../contract/fixtures.ts';
import { openTestStore } from './open-test-store.ts';

const patients = ['9990000018', '9990000026', '9990000034'];
const flags = ['f1', 'f2', 'f3', 'f4'];
const onPatient = (id: string): SearchClause => ({
  kind: 'reference',
  param: 'patient',
  any: [{ kind: 'literal', type: 'Patient', id }],
});
const status = (code: string, negated: boolean): SearchClause => ({
  kind: 'token',
  param: 'status',
  negated,
  any: [{ code }],
});
const label = (...any: readonly string[]): SearchClause => ({ kind: 'label', any });
const residual: readonly (readonly SearchClause[])[] = [
  [],
  [status('active', false)],
  [status('entered-in-error', true)],
  [label('owner:E1')],
  [{ kind: 'missing', param: 'code', missing: true }],
];
const index = (patient: string, code: string): IndexValue[] => [
  { kind: 'reference', param: 'patient', type: 'Patient', id: patient },
  token('status', code),
];

const step = fc.oneof(
  fc.record({
    kind: fc.constant('write' as const),
    id: fc.constantFrom(...flags),
    patient: fc.constantFrom(...patients),
    status: fc.constantFrom('active', 'inactive', 'entered-in-error'),
    owner: fc.constantFrom('owner:E1', 'owner:E2'),
    deleted: fc.boolean(),
  }),
  fc.record({
    kind: fc.constant('touch' as const),
    id: fc.constantFrom(...flags),
    owner: fc.constantFrom('owner:E1', 'x'),
  }),
  fc.record({
    kind: fc.constant('search' as const),
    patient: fc.constantFrom(...patients),
    residual: fc.constantFrom(...residual),
    limit: fc.constantFrom(1, 50),
  }),
);

t.test('what is kept in memory is what the file says, whatever is written in between', async (t) => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 30 }), async (steps) => {
      const { store, folder } = await openTestStore(t, { folder: t.testdir() });
      const statements = openStatements(openConnection({ file: join(folder, 'store.sqlite'), use: 'read' }));
      try {
        for (const each of steps) {
          if (each.kind === 'search') {
            const searched = plan([onPatient(each.patient), ...each.residual], { limit: each.limit });
            const direct = runSearch(statements, String, searched);
            t.same(await store.search(searched), direct);
            continue;
          }
          const current = await store.read('Flag', each.id);
          if (each.kind === 'touch') {
            if (current.kind !== 'found') continue;
            const touch = {
              type: 'Flag',
              id: each.id,
              expectRevision: current.resource.revision,
              labels: [each.owner],
            };
            await store.commit(unit({ touches: [touch] }));
            continue;
          }
          const version =
            current.kind === 'absent'
              ? 1
              : current.kind === 'found'
                ? current.resource.version + 1
                : current.version + 1;
          const changes = each.deleted
            ? { body: null, index: [], labels: [each.owner] }
            : { index: index(each.patient, each.status), labels: [each.owner] };
          await store.commit(unit({ writes: [write(each.id, { version, ...changes })] }));
        }
      } finally {
        statements.db.close();
        await store.close();
      }
    }),
    { numRuns: 25 },
  );
});

t.test('memory is bounded, and the file is not read again for what is kept', async (t) => {
  let reads = 0;
  const result: SearchResult = {
    matches: [{ type: 'Flag', id: 'f1', version: 1, lastUpdatedMs: 1, body: 'x'.repeat(400), labels: [], revision: 1 }],
    next: undefined,
    total: undefined,
  };
  const searches = openPatientSearches(10_000);
  const searched = (id: string, changes: Partial<SearchPlan> = {}): SearchPlan => plan([onPatient(id)], changes);
  const find = (searching: SearchPlan, found = result): SearchResult =>
    searches.find(searching, () => {
      reads += 1;
      return found;
    });
  for (let i = 0; i < 5; i++) t.equal(find(searched('1')), result);
  t.equal(reads, 1);
  const [flag] = result.matches;
  if (flag === undefined) throw new Error('there is a Flag');
  for (let i = 2; i < 12; i++) find(searched(String(i)), { ...result, matches: [{ ...flag, id: `f${i}` }] });
  reads = 0;
  find(searched('11'), result);
  t.equal(reads, 0, 'the last are kept');
  find(searched('1'));
  t.equal(reads, 1, 'the first had to go');
  for (const changes of [{ total: true }, { after: ['f0'] }, { type: 'AuditEvent' }]) {
    reads = 0;
    find(searched('1', changes));
    find(searched('1', changes));
    t.equal(reads, 2, `never kept: ${JSON.stringify(changes)}`);
  }
});
