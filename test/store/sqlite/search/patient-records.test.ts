import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import type { IndexValue, SearchClause, SearchPlan } from '../../../../src/fhir/search/ast.ts';
import { openConnection } from '../../../../src/store/sqlite/connection/connection.ts';
import { openStatements } from '../../../../src/store/sqlite/connection/statements.ts';
import { openPatientRecords, type PatientRecord } from '../../../../src/store/sqlite/search/patient-records.ts';
import { runSearch } from '../../../../src/store/sqlite/search/run-search.ts';
import { plan, token, unit, write } from '../../../contract/fixtures.ts';
import { openTestStore } from '../open-test-store.ts';

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
    kind: fc.constant('guard' as const),
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

t.test('the cache returns what the file holds, whatever is written in between', async (t) => {
  const { store, folder } = await openTestStore(t);
  const statements = openStatements(openConnection({ file: join(folder, 'store.sqlite'), use: 'read' }));
  t.teardown(() => statements.db.close());
  let runs = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 4, maxLength: 30 }), async (steps) => {
      // Each run has its own children and flags in the one store.
      runs += 1;
      const own = (id: string): string => `${id}-${runs}`;
      for (const each of steps) {
        if (each.kind === 'search') {
          const searched = plan([onPatient(own(each.patient)), ...each.residual], { limit: each.limit });
          const direct = runSearch(statements, String, searched);
          t.same(await store.search(searched), direct);
          continue;
        }
        const current = await store.read('Flag', own(each.id));
        if (each.kind === 'guard') {
          if (current.kind !== 'found') continue;
          const guard = {
            type: 'Flag',
            id: own(each.id),
            expectRevision: current.resource.revision,
            labels: [each.owner],
          };
          await store.commit(unit({ guards: [guard] }));
          continue;
        }
        const version =
          current.kind === 'absent' ? 1 : current.kind === 'found' ? current.resource.version + 1 : current.version + 1;
        const changes = each.deleted
          ? { body: null, index: [], labels: [each.owner] }
          : { index: index(own(each.patient), each.status), labels: [each.owner] };
        await store.commit(unit({ writes: [write(own(each.id), { version, ...changes })] }));
      }
    }),
    { numRuns: 25 },
  );
});

const record = (id: string, patient: string, code = 'active', version = 1): PatientRecord => ({
  resource: {
    type: 'Flag',
    id,
    version,
    lastUpdatedMs: version,
    body: `${id}${'x'.repeat(400)}`,
    labels: [],
    revision: version,
  },
  values: index(patient, code),
});
const idsOf = (found: { readonly matches: readonly { readonly id: string }[] } | undefined): string[] | undefined =>
  found?.matches.map(({ id }) => id);

t.test('memory is bounded, and cached records are not read again', async (t) => {
  let reads = 0;
  const patients = openPatientRecords(({ reference }) => {
    reads += 1;
    const id = reference.slice('Patient/'.length);
    return [record(`f${id}`, id)];
  }, 20_000);
  const find = (id: string, changes: Partial<SearchPlan> = {}) =>
    idsOf(patients.search(plan([onPatient(id)], changes)));
  for (let i = 0; i < 5; i++) t.same(find('1'), ['f1']);
  t.equal(reads, 1);
  t.same(find('1', { limit: 0, total: true }), [], 'another plan on the same patient');
  t.equal(reads, 1);
  for (let i = 2; i < 12; i++) find(String(i));
  reads = 0;
  t.same(find('11'), ['f11']);
  t.equal(reads, 0, 'the last are cached');
  find('1');
  t.equal(reads, 1, 'the first was dropped');
  t.equal(find('1', { type: 'AuditEvent' }), undefined);
  t.equal(patients.search(plan([status('active', false)])), undefined);
});

t.test('an empty result from the cache costs the same database read as an unknown patient', async (t) => {
  const asked: string[] = [];
  const known = new Map([['Patient/1', [record('f1', '1')]]]);
  const patients = openPatientRecords(({ reference }) => {
    asked.push(reference);
    return known.get(reference) ?? [];
  }, 1_000_000);
  const find = (id: string, ...residual: SearchClause[]) =>
    patients.search(plan([onPatient(id), ...residual]))?.matches;
  find('1');
  t.same(asked.splice(0), ['Patient/1']);
  find('1');
  t.same(asked.splice(0), [], 'cached');
  t.same(find('1', label('owner:E2')), []);
  t.same(asked.splice(0), ['Patient/1.'], 'a patient that nobody has');
  for (let i = 0; i < 2; i++) t.same(find('2', label('owner:E2')), []);
  t.equal(asked.length, 2);
});

t.test('too many records, or too long ones, are not cached', async (t) => {
  let reads = 0;
  const long = openPatientRecords(() => {
    reads += 1;
    return [record('f1', '1'), record('f2', '1')];
  }, 2_000);
  for (let i = 0; i < 2; i++) t.same(idsOf(long.search(plan([onPatient('1')]))), ['f1', 'f2']);
  t.equal(reads, 2);
  const many = openPatientRecords(() => undefined, 1_000_000);
  t.equal(many.search(plan([onPatient('1')])), undefined);
});

t.test(
  'while a commit about a patient is in flight the file is read; afterwards the cache has its result',
  async (t) => {
    let reads = 0;
    const patients = openPatientRecords(() => {
      reads += 1;
      return [record('f1', '1')];
    }, 1_000_000);
    const find = (...residual: SearchClause[]) => idsOf(patients.search(plan([onPatient('1'), ...residual])));
    t.same(find(), ['f1']);
    const second = write('f2', { index: index('1', 'inactive') });
    for (const committed of [false, true]) {
      const end = patients.begin(unit({ writes: [second] }));
      t.equal(find(), undefined);
      const other = patients.begin(unit({ guards: [{ type: 'Flag', id: 'f1', expectRevision: 1 }] }));
      end(committed);
      t.equal(find(), undefined, 'the other commit is about the patient too');
      other(false);
      t.same(find(), committed ? ['f1', 'f2'] : ['f1']);
    }
    t.same(find(status('active', false)), ['f1']);
    patients.begin(unit({ writes: [write('f1', { version: 2, body: null })] }))(true);
    t.same(find(), ['f2']);
    t.equal(reads, 1, 'everything else came from memory');
    patients.begin(unit({ writes: [write('f1', { version: 3, index: index('1', 'active') })] }))(true);
    t.same(find(), ['f1']);
    t.equal(reads, 2, 'the revision of a deleted resource is only in the file');
  },
);

t.test('records loaded while a commit about them was in flight are not cached', async (t) => {
  let reads = 0;
  const patients = openPatientRecords(() => {
    reads += 1;
    return [record('f1', '1')];
  }, 1_000_000);
  const end = patients.begin(unit({ writes: [write('f1', { version: 2, index: index('2', 'active') })] }));
  patients.search(plan([onPatient('1')]));
  end(true);
  patients.search(plan([onPatient('1')]));
  t.equal(reads, 2);
});

t.test('a search during commits sees the state before or after each of them', async (t) => {
  const { store } = await openTestStore(t);
  const [id = ''] = patients;
  const searched = plan([onPatient(id)]);
  await store.search(searched);
  let written = 0;
  const writing = (async () => {
    for (let i = 0; i < 200; i++) {
      await store.commit(unit({ writes: [write(`w${i}`, { index: index(id, 'active') })] }));
      written += 1;
    }
  })();
  let searches = 0;
  while (written < 200) {
    const before = written;
    const { matches } = await store.search({ ...searched, limit: 1_000 });
    if (matches.length < before) t.fail(`${matches.length} found after ${before} commits`);
    const revisions = await Promise.all(matches.slice(-1).map((match) => store.read('Flag', match.id)));
    if (revisions.some((read) => read.kind !== 'found')) t.fail('what a search finds can be read');
    searches += 1;
    await new Promise(setImmediate);
  }
  await writing;
  t.ok(searches > 20);
  t.equal((await store.search({ ...searched, limit: 1_000 })).matches.length, 200);
});
