import type { Bundle, Flag, OperationOutcome } from 'fhir/r4.js';
import t from 'tap';
import { lastDayUnder18 } from '../../src/cpis/life-cycle.ts';
import { addDays, addMonths, londonDate } from '../../src/cpis/london-date.ts';
import { dueDateExtension } from '../../src/cpis/plan.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, postBundle, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, epr, ownId, otherId } = world;
const today = londonDate(Date.now());
const yearsAgo = (years: number, days = 0): string => addDays(addMonths(today, -12 * years), days);

const flagsOf = async (client: FhirClient, nhsNumber: string, more = ''): Promise<Flag[]> =>
  resourcesOf<Flag>(await client.request<Bundle>('GET', `Flag?patient=${nhsNumber}${more}`)).filter(
    ({ resourceType }) => resourceType === 'Flag',
  );
const totalOf = async (nhsNumber: string, more = ''): Promise<number | undefined> =>
  (await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}${more}`)).body.total;

/** Submits a plan, and one of an adult while the subject is recorded as a child, with the birth date corrected afterwards. */
async function submitOpen(plan: SyntheticPlan): Promise<string> {
  const isAdult = plan.kind.code !== kindOf('UCPP').code && lastDayUnder18(plan.birthDate) < today;
  const [id = ''] = await submit(la, isAdult ? { ...plan, birthDate: yearsAgo(12) } : plan);
  if (!isAdult) return id;
  const ifMatch = { 'if-match': 'W/"1"' };
  const { status } = await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan), ifMatch);
  t.equal(status, 200, 'the birth date is corrected');
  return id;
}

/** Submits a plan and returns it as a care provider sees it: by search and, if it has an id there, by read. */
async function seen(plan: SyntheticPlan): Promise<Flag | undefined> {
  const id = await submitOpen(plan);
  const [flag] = await flagsOf(epr, plan.nhsNumber);
  const read = await epr.request<Flag>('GET', `Flag/${id}`);
  t.equal(read.status, flag === undefined ? 404 : 200, 'read and search agree');
  if (flag !== undefined) t.strictSame(read.body, flag, 'read and search show the same');
  t.equal(await totalOf(plan.nhsNumber), flag === undefined ? 0 : 1, 'total');
  t.equal(await totalOf(plan.nhsNumber, '&_summary=count'), flag === undefined ? 0 : 1, '_summary=count');
  t.equal((await epr.request('GET', `Patient/${plan.nhsNumber}`)).status, flag === undefined ? 404 : 200, 'Patient');
  return flag;
}

t.test('from the 18th birthday a plan is shown as ended on the day before', async (t) => {
  const flag = await seen(freshPlan({ birthDate: yearsAgo(18), kind: kindOf('LAC'), start: yearsAgo(3) }));
  t.match(flag, { status: 'inactive', period: { start: yearsAgo(3), end: addDays(yearsAgo(0), -1) } });
  const last = await seen(freshPlan({ birthDate: yearsAgo(18, 1), start: yearsAgo(3) }));
  t.match(last, { status: 'active', period: { end: undefined } }, 'on the day before the birthday it is open');
});

t.test('a corrected birth date never ends a plan before its start, nor hides one that has just ended', async (t) => {
  const period = { start: yearsAgo(0, -60), end: yearsAgo(0, -10) };
  const plan = freshPlan({ birthDate: yearsAgo(12), kind: kindOf('LAC'), ...period });
  await submit(la, plan);
  const ifMatch = { 'if-match': 'W/"1"' };
  const corrected = buildPatient({ ...plan, birthDate: yearsAgo(30) });
  t.equal((await la.request('PUT', `Patient/${plan.nhsNumber}`, corrected, ifMatch)).status, 200);
  const [flag] = await flagsOf(epr, plan.nhsNumber);
  t.match(flag, { status: 'inactive', period: { start: period.start, end: period.start } });
});

t.test(
  'a plan of somebody who turned 18 over a year ago is not shown, and its authority is not notified of a look-up',
  async (t) => {
    const plan = freshPlan({ birthDate: '2007-01-05', kind: kindOf('LAC'), start: '2023-01-10' });
    t.equal(await seen(plan), undefined);
    await submit(otherLa, { ...plan, kind: kindOf('CPP'), end: '2025-01-04' });
    const { id, headers } = namedRequest();
    await epr.request('GET', `Flag?patient=${plan.nhsNumber}`, undefined, headers);
    t.match(await trail.of(id), [{ owed: [], custodians: [] }]);
    t.equal((await flagsOf(la, plan.nhsNumber))[0]?.status, 'active', 'the authority sees its plan as it submitted it');
  },
);

t.test('a plan that the life cycle ended stands beside an open one, page by page', async (t) => {
  const plan = freshPlan({ birthDate: yearsAgo(18), kind: kindOf('LAC'), start: yearsAgo(3) });
  await submitOpen(plan);
  await submit(otherLa, { ...plan, kind: kindOf('UCPP'), start: yearsAgo(0, -30), dueDate: yearsAgo(0, 60) });
  const both = await flagsOf(epr, plan.nhsNumber);
  t.strictSame(both.map(({ status }) => status).sort(), ['active', 'inactive']);
  const first = await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}&_count=1`);
  t.equal(first.body.total, 2);
  const next = first.body.link?.find(({ relation }) => relation === 'next')?.url ?? '';
  const second = await epr.request<Bundle>('GET', next.slice(`${world.server.baseUrl}/`.length));
  const paged = [...resourcesOf<Flag>(first), ...resourcesOf<Flag>(second)].filter(
    ({ resourceType }) => resourceType === 'Flag',
  );
  t.strictSame(paged.map(({ id }) => id).sort(), both.map(({ id }) => id).sort());
  const { id, headers } = namedRequest();
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`, undefined, headers);
  t.strictSame([...((await trail.of(id))[0]?.owed ?? [])].sort(), [ownId, otherId].sort(), 'both are notified');
});

t.test('a client cannot be told "not modified" of a plan that has ended by age', async (t) => {
  const id = await submitOpen(freshPlan({ birthDate: yearsAgo(18), start: yearsAgo(3) }));
  const answer = await epr.request<Flag>('GET', `Flag/${id}`, undefined, { 'if-none-match': 'W/"1"' });
  t.match(answer, { status: 200, body: { status: 'inactive' } });
  t.equal(answer.headers.get('etag'), null, 'what is not the stored version has no ETag');
  t.equal(answer.headers.get('last-modified'), null);
  t.strictSame(Object.keys(answer.body.meta ?? {}), ['tag']);
});

t.test('a corrected birth date changes what is shown, at once', async (t) => {
  const plan = freshPlan({ birthDate: yearsAgo(12), start: yearsAgo(1) });
  t.equal((await seen(plan))?.status, 'active');
  const corrected = buildPatient({ ...plan, birthDate: yearsAgo(18) });
  t.equal((await la.request('PUT', `Patient/${plan.nhsNumber}`, corrected, { 'if-match': 'W/"1"' })).status, 200);
  t.match(await flagsOf(epr, plan.nhsNumber), [{ status: 'inactive', period: { end: addDays(today, -1) } }]);
});

t.test("an unborn child's plan is shown until 28 days after the due date, which only its authority sees", async (t) => {
  const mother = { birthDate: '1996-01-01', kind: kindOf('UCPP') };
  const plan = freshPlan({ ...mother, start: addDays(today, -200), dueDate: addDays(today, -28) });
  const flag = await seen(plan);
  t.match(flag, { status: 'active', period: { end: undefined } });
  t.equal(flag?.extension, undefined);
  t.match(await flagsOf(la, plan.nhsNumber), [{ extension: [{ url: dueDateExtension, valueDate: plan.dueDate }] }]);
  t.equal(await seen(freshPlan({ ...mother, start: addDays(today, -200), dueDate: addDays(today, -29) })), undefined);
  t.equal(await seen(freshPlan({ ...mother, start: '2023-01-10' })), undefined, 'open for years without a due date');
});

t.test("an unborn child's plan without a due date is accepted with a warning", async (t) => {
  const plan = freshPlan({ birthDate: '1996-01-01', kind: kindOf('UCPP'), start: addDays(today, -20) });
  await la.request('POST', 'Patient', buildPatient(plan));
  const { status, body } = await la.request<OperationOutcome>('POST', 'Flag', buildFlag(plan));
  t.equal(status, 201);
  t.match(body, { issue: [{ severity: 'warning', diagnostics: /no expected date of delivery/ }] });
});

t.test('a due date stands on unborn plans only, as a full date', async (t) => {
  const plan = freshPlan({ dueDate: '2026-01-01' });
  await la.request('POST', 'Patient', buildPatient(plan));
  t.equal((await la.request('POST', 'Flag', buildFlag(plan))).status, 422);
  const partial = freshPlan({ birthDate: '1996-01-01', kind: kindOf('UCPP'), dueDate: '2026-01' });
  await la.request('POST', 'Patient', buildPatient(partial));
  t.equal((await la.request('POST', 'Flag', buildFlag(partial))).status, 422);
});

t.test('one transaction that corrects the birth date and the kind of a plan: the amended plan counts', async (t) => {
  const plan = freshPlan({ birthDate: yearsAgo(16), start: addDays(today, -50) });
  await submit(la, plan);
  const amended = { ...plan, birthDate: yearsAgo(17), kind: kindOf('UCPP'), dueDate: addDays(today, 20) };
  t.equal((await postBundle(la, 'transaction', buildRecord(amended))).status, 200);
  const [flag] = await flagsOf(epr, plan.nhsNumber);
  t.match(flag, { status: 'active', extension: undefined }, 'the due date is not shown');
  await submit(la, { ...amended, dueDate: addDays(today, -29) });
  t.strictSame(await flagsOf(epr, plan.nhsNumber), []);
});
