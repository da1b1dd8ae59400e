import type { Bundle, BundleEntry, Flag, OperationOutcome, Patient } from 'fhir/r4.js';
import t from 'tap';
import type { FhirResponse } from '../../src/synthetic/fhir-client.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindCodes, kindOf, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, epr, ownId, otherId } = world;
const nhsSystem = 'https://fhir.nhs.uk/England/CodeSystem/England-FlagCategoryPatient';
const nhsCodes = ['child-protection-information-system-flag', 'child-protection-information-sharing-flag'];

const plan = freshPlan();
await submit(la, plan);
await submit(otherLa, { ...plan, kind: kindOf('LAC') });
const patient = plan.nhsNumber;

interface Found {
  readonly total?: number;
  readonly entry?: BundleEntry[];
  readonly issue?: OperationOutcome['issue'];
}
const find = (query: string, headers: Readonly<Record<string, string>> = {}) =>
  epr.request<Found>('GET', `Flag?${query}`, undefined, headers);
const kindsIn = (answer: Awaited<ReturnType<typeof find>>): (string | undefined)[] =>
  resourcesOf<Flag>(answer as FhirResponse<Bundle>)
    .filter(({ resourceType }) => resourceType === 'Flag')
    .map(({ code }) => code.coding?.[0]?.code)
    .sort();
const outcomesIn = ({ body }: { readonly body: Found }): BundleEntry[] =>
  (body.entry ?? []).filter(({ search }) => search?.mode === 'outcome');
const both = [kindCodes.CPP, kindCodes.LAC].sort();

t.test("NHS England's codes for child protection stand for all kinds of plan", async (t) => {
  for (const code of nhsCodes) {
    for (const value of [code, `${nhsSystem}|${code}`, `${code},${kindCodes.CPP}`, 'http://snomed.info/sct|']) {
      const answer = await find(`patient=${patient}&code=${encodeURIComponent(value)}`);
      t.match(answer, { status: 200, body: { total: 2 } }, value);
      t.strictSame(kindsIn(answer), both, value);
      t.strictSame(outcomesIn(answer), [], value);
    }
  }
});

t.test('a search for one kind says that further plans are recorded, and all holders are notified', async (t) => {
  const { id, headers } = namedRequest();
  const answer = await find(`patient=${patient}&code=${kindCodes.CPP}`, headers);
  t.strictSame(kindsIn(answer), [kindCodes.CPP]);
  t.equal(answer.body.total, 1);
  t.match(outcomesIn(answer), [
    { resource: { issue: [{ severity: 'warning', diagnostics: /Further plans.*Search without code/ }] } },
  ]);
  t.strictSame([...((await trail.of(id))[0]?.owed ?? [])].sort(), [ownId, otherId].sort());
  const nothing = await find(`patient=${patient}&code=${kindCodes.UCPP}`);
  t.match(nothing.body, { total: 0 });
  t.match(outcomesIn(nothing), [
    { resource: { issue: [{ diagnostics: /^No plan of this kind is shown.*but plans of/ }] } },
  ]);
  const complete = await find(`patient=${patient}&code=http://snomed.info/sct|${kindCodes.CPP},${kindCodes.LAC}`);
  t.strictSame(kindsIn(complete), both);
  t.strictSame(outcomesIn(complete), [], 'nothing is left out');
  const unknown = await find(`patient=${freshPlan().nhsNumber}&code=${kindCodes.CPP}`);
  t.strictSame(unknown.body.entry ?? [], [], 'no plan, no warning');
  const page = await find(`patient=${patient}&code=${kindCodes.CPP}&_count=0`);
  t.equal(outcomesIn(page).length, 1);
});

t.test('a criterion that could hide a plan is refused, and no authority is told', async (t) => {
  for (const query of [
    'status=active',
    'status=nonsense',
    'status:not=active',
    'date=lt2000',
    'date=ge2024-01-01',
    `author=Organization/${ownId}`,
    'author:missing=true',
    'author.name=x',
    'identifier=a|b',
    '_id=abc',
    '_lastUpdated=ge2020-01-01',
    `code:not=${kindCodes.CPP}`,
    'code:text=child',
    'code:missing=true',
    'code=nonsense',
    'code=|342191000000101',
    'code=http://example.org|342191000000101',
    `code=${kindCodes.CPP},nonsense`,
    `${nhsSystem}=x`,
    '_has:Patient:name=x',
    '_filter=status%20eq%20active',
    `_summary=count&code=${kindCodes.CPP}`,
  ]) {
    for (const handling of ['strict', 'lenient']) {
      const { id, headers } = namedRequest();
      const answer = await find(`patient=${patient}&${query}`, { ...headers, prefer: `handling=${handling}` });
      t.equal(answer.status, 400, `${query} ${handling}`);
      t.ok(answer.body.issue?.[0]?.diagnostics, query);
      t.strictSame(
        (await trail.of(id)).flatMap(({ owed }) => owed),
        [],
        `${query}: nobody is told`,
      );
    }
  }
  const form = await epr.request<OperationOutcome>('GET', `Patient/${patient}/Flag?status=active`);
  t.equal(form.status, 400, 'in the compartment too');
});

t.test('every criterion that is refused is named', async (t) => {
  const { status, body } = await find(`patient=${patient}&status=active&date=lt2000`);
  t.equal(status, 400);
  t.strictSame(
    body.issue?.map(({ expression }) => expression?.[0]),
    ['status', 'date'],
  );
});

t.test('all forms of the patient find the same', async (t) => {
  for (const query of [
    `patient=${patient}`,
    `patient=Patient/${patient}`,
    `subject=Patient/${patient}`,
    `patient:Patient=${patient}`,
    `patient=${world.server.baseUrl}/Patient/${patient}`,
    `patient:identifier=https://fhir.nhs.uk/Id/nhs-number|${patient}`,
    `patient=${patient}&_sort=-date`,
    `patient=${patient}&_elements=code`,
    `patient=${patient}&_include=Flag:author`,
  ]) {
    const answer = await find(query);
    t.strictSame(kindsIn(answer), both, query);
  }
});

t.test('for every role a value outside a required value set is refused', async (t) => {
  for (const [client, path] of [
    [la, 'Flag?status=nonsense'],
    [la, 'Flag?status:not=nonsense'],
    [la, 'Flag?status=http://example.org|active'],
    [la, 'Flag?status=|active'],
    [la, 'AuditEvent?action=http://example.org|E'],
    [la, 'Flag?code=nonsense'],
    [la, `Flag?patient:Patient.gender=nonsense`],
    [la, 'Patient?gender=nonsense'],
    [la, 'Patient?_has:Flag:patient:status=nonsense'],
    [la, 'AuditEvent?action=X'],
    [la, 'AuditEvent?outcome=5'],
    [la, 'Subscription?status=nonsense'],
    [la, 'Subscription?type=fax'],
  ] as const) {
    const { status, body } = await client.request<OperationOutcome>('GET', path);
    t.equal(status, 400, path);
    t.match(body.issue, [{ code: 'value' }], path);
  }
  for (const path of [
    'Flag?status=active',
    'Flag?status=http://hl7.org/fhir/flag-status|active',
    `Flag?code=${nhsCodes[0]}`,
    'AuditEvent?action=E',
    'Patient?gender=male',
  ]) {
    t.equal((await la.request('GET', path)).status, 200, path);
  }
});

t.test("NHS England's code finds plans of all kinds through _has too", async (t) => {
  const number = `identifier=https://fhir.nhs.uk/Id/nhs-number|${patient}`;
  for (const code of [...nhsCodes, kindCodes.CPP]) {
    const { body } = await la.request<Bundle>('GET', `Patient?${number}&_has:Flag:patient:code=${code}`);
    t.equal(body.total, 1, code);
  }
});

t.test('_summary=count with a parameter that would be ignored is refused', async (t) => {
  const answer = await la.request<OperationOutcome>('GET', 'Flag?nonsense=1&_summary=count');
  t.match(answer, { status: 400, body: { issue: [{ expression: ['nonsense'] }] } });
  t.equal((await la.request('GET', 'Flag?nonsense=1')).status, 200);
});

t.test('NHS staff see the NHS number of a Patient and nothing else', async (t) => {
  const number = { system: 'https://fhir.nhs.uk/Id/nhs-number', value: patient };
  const read = await epr.request<Patient>('GET', `Patient/${patient}`);
  const included = await find(`patient=${patient}&_include=Flag:patient`);
  const found = included.body.entry?.map(({ resource }) => resource).find((one) => one?.resourceType === 'Patient');
  for (const shown of [read.body, found as Patient | undefined]) {
    t.strictSame(Object.keys(shown ?? {}).sort(), ['id', 'identifier', 'meta', 'resourceType']);
    t.strictSame(shown?.identifier, [number]);
    t.match(shown?.meta?.tag, [{ code: 'SUBSETTED' }]);
  }
  t.match((await la.request<Patient>('GET', `Patient/${patient}`)).body, { birthDate: plan.birthDate, name: [{}] });
});

t.test('the modifier missing hides no plan', async (t) => {
  for (const query of ['patient:missing=true', 'subject:missing=true', 'patient:missing=false']) {
    for (const [method, path] of [
      ['GET', `Flag?patient=${patient}&${query}`],
      ['GET', `Patient/${patient}/Flag?${query}`],
      ['GET', `AuditEvent?patient=${patient}&${query}`],
    ] as const) {
      t.equal((await epr.request(method, path)).status, 400, path);
    }
  }
});
