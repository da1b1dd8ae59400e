/** Stores as a release before ADR 0029 wrote them: one Patient for all authorities, labelled with its holders and submitters. */
import type { Patient } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { childType, statementType } from '../../src/cpis/statement.ts';
import type { IndexValue } from '../../src/fhir/search/ast.ts';
import { separateStatements } from '../../src/interactions/write/separate-statements.ts';
import { loadFhirModel } from '../../src/server/load-fhir-model.ts';
import type { ReadResult, Store } from '../../src/store/store.ts';
import { buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { openTestStore as openMongoTestStore } from '../store/mongo/open-test-store.ts';
import { openTestStore as openSqliteTestStore } from '../store/sqlite/open-test-store.ts';
import { openMongoServer } from '../support/mongo-server.ts';
import { freshPlan } from '../support/submissions.ts';

const { extract } = loadFhirModel('http://127.0.0.1/FHIR/R4');
const mongo = await openMongoServer(t);
const stores: Readonly<Record<string, (t: Test) => Promise<{ readonly store: Store }>>> = {
  SQLite: (t) => openSqliteTestStore(t),
  MongoDB: (t) => openMongoTestStore(t, mongo),
};
const plan = freshPlan({ family: 'Marram' });
const id = plan.nhsNumber;
const lastUpdatedMs = Date.parse('2026-01-05T10:00:00Z');
const shared = (version: number, over: Partial<typeof plan> = {}): Patient => ({
  ...buildPatient({ ...plan, ...over }),
  meta: { versionId: String(version), lastUpdated: new Date(lastUpdatedMs).toISOString() },
});

async function write(store: Store, patient: Patient, labels: readonly string[]): Promise<void> {
  const version = Number(patient.meta?.versionId);
  const index: readonly IndexValue[] = extract(patient);
  const of = { type: 'Patient', id: patient.id ?? '', version, lastUpdatedMs, body: JSON.stringify(patient) };
  await store.commit({
    writes: [{ ...of, method: 'PUT', labels, index, uniqueKeys: [] }],
    guards: [],
    audits: [],
  });
}

const bodyOf = (result: ReadResult): Patient =>
  JSON.parse(result.kind === 'found' ? result.resource.body : '{}') as Patient;
const labelsOf = (result: ReadResult): readonly string[] => (result.kind === 'found' ? result.resource.labels : []);

for (const [name, open] of Object.entries(stores)) {
  t.test(`${name}: each holder and submitter has its own Patient afterwards`, async (t) => {
    const { store } = await open(t);
    await write(store, shared(1, { family: 'Before' }), ['viewer:a', 'submitter:a']);
    await write(store, shared(2), ['viewer:a', 'viewer:b', 'submitter:a', 'submitter:b', 'submitter:c']);
    const ports = { store, extract, clock: () => lastUpdatedMs };
    t.equal(await separateStatements(ports), 1);
    t.equal(await separateStatements(ports), 0, 'once');

    const read = (authority: string) => store.read(statementType(authority), id);
    t.match(bodyOf(await read('a')), { ...shared(2), meta: { versionId: '2' } });
    t.match(bodyOf(await store.readVersion(statementType('a'), id, 1)), { name: [{ family: 'Before' }] });
    t.match(bodyOf(await read('b')), { ...shared(2), meta: { versionId: '1' } }, 'b never saw the first version');
    const { name: names, ...matched } = bodyOf(await read('c'));
    t.match(matched, { birthDate: plan.birthDate, identifier: shared(2).identifier }, 'c only matched the birth date');
    t.equal(names, undefined);
    t.strictSame(await Promise.all(['a', 'b', 'c'].map(async (authority) => labelsOf(await read(authority)))), [
      ['owner:a', 'stated'],
      ['owner:b', 'stated'],
      ['stated'],
    ]);
    const child = bodyOf(await store.read(childType, id));
    t.match(child, { id, identifier: shared(2).identifier });
    t.notMatch(JSON.stringify(child), /Marram|2019/, 'the child record holds the number only');
    t.equal((await store.read('Patient', id)).kind, 'deleted', 'its versions are kept');
    const found = await store.search({
      type: statementType('a'),
      clauses: [{ kind: 'string', param: 'family', match: 'starts', any: ['marram'] }],
      sort: [],
      limit: 5,
      total: false,
    });
    t.strictSame(
      found.matches.map((match) => match.id),
      [id],
      'it is found by its name',
    );
  });

  t.test(`${name}: a separation that was interrupted, or that two servers do, is completed`, async (t) => {
    const { store } = await open(t);
    const plans = Array.from({ length: 120 }, () => freshPlan());
    for (const plan of plans) {
      const body = {
        ...buildPatient(plan),
        meta: { versionId: '1', lastUpdated: new Date(lastUpdatedMs).toISOString() },
      };
      await write(store, body, ['viewer:a', 'submitter:a']);
    }
    let left = 50;
    const failing: Store = {
      ...store,
      commit: (unit) => (left-- > 0 ? store.commit(unit) : Promise.reject(new Error('the disk is full'))),
    };
    await t.rejects(separateStatements({ store: failing, extract, clock: () => lastUpdatedMs }));
    const ports = { store, extract, clock: () => lastUpdatedMs };
    await Promise.all([separateStatements(ports), separateStatements(ports)]);
    const versions = await Promise.all(
      plans.flatMap(({ nhsNumber }) =>
        [statementType('a'), childType].map(async (type) => {
          const found = await store.read(type, nhsNumber);
          return found.kind === 'found' ? found.resource.version : found.kind;
        }),
      ),
    );
    t.strictSame(new Set(versions), new Set([1]));
    t.equal(await separateStatements(ports), 0);
  });
}
