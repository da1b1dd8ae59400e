import type { Bundle, Flag, OperationOutcome, Patient } from 'fhir/r4.js';
import t from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, outcomeOf, postBundle, resourcesOf, statusesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, epr } = world;
const today = londonDate(Date.now());

/** Submits a record as a batch, and returns the status and the issues of its two entries. */
async function submitted(plan: SyntheticPlan) {
  const answer = await postBundle(la, 'batch', buildRecord(plan));
  const [patient, flag] = answer.body.entry ?? [];
  return { statuses: statusesOf(answer), patient: outcomeOf(patient)?.issue, flag: outcomeOf(flag)?.issue };
}
const shown = async (nhsNumber: string): Promise<(string | undefined)[]> =>
  resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`))
    .filter(({ resourceType }) => resourceType === 'Flag')
    .map(({ status }) => status);

t.test('dates that cannot be are refused, and nothing is shown', async (t) => {
  for (const [over, expression] of [
    [{ start: '0202-01-10' }, 'start'],
    [{ start: '1025-01-10' }, 'start'],
    [{ start: '1899-01-10' }, 'start'],
    [{ birthDate: '2019-03-04', start: '2019-03-03' }, 'start'],
    [{ start: addDays(today, 31) }, 'start'],
    [{ start: addDays(today, 395) }, 'start'],
    [{ kind: kindOf('LAC'), birthDate: '2019-03-04', start: '2018-03-04' }, 'start'],
    [{ kind: kindOf('UCPP'), birthDate: addDays(today, -365 * 5), start: addDays(today, -20) }, 'subject'],
    [{ kind: kindOf('UCPP'), birthDate: '1996-01-01', start: addDays(today, 31) }, 'start'],
  ] as const) {
    const plan = freshPlan(over);
    const { statuses, flag } = await submitted(plan);
    t.match(statuses[1], /^422/, JSON.stringify(over));
    t.match(flag, [{ code: 'business-rule', expression: [new RegExp(`\\.${expression}$`)] }], JSON.stringify(over));
    t.strictSame(await shown(plan.nhsNumber), []);
  }
});

t.test('a birth date before 1900 or after today is refused', async (t) => {
  for (const birthDate of ['1899-12-31', '0202-01-01', addDays(today, 1)]) {
    const { statuses, patient } = await submitted(freshPlan({ birthDate }));
    t.match(statuses[0], /^422/, birthDate);
    t.match(patient, [{ expression: [/birthDate$/] }], birthDate);
  }
});

t.test('dates at the edge are accepted', async (t) => {
  for (const [over, seen] of [
    [{ birthDate: '2019-03-04', start: '2019-03-04' }, ['active']],
    [{ start: today }, ['active']],
    [{ start: addDays(today, 1) }, []],
    [{ start: addDays(today, 30) }, []],
    [
      { kind: kindOf('UCPP'), birthDate: '2009-01-01', start: addDays(today, -20), dueDate: addDays(today, 99) },
      ['active'],
    ],
  ] as const) {
    const plan = freshPlan(over);
    t.strictSame((await submitted(plan)).statuses, ['201 Created', '201 Created'], JSON.stringify(over));
    t.strictSame(await shown(plan.nhsNumber), seen, JSON.stringify(over));
  }
});

t.test("an unborn child's plan on a male subject, and a second one, are accepted with a warning", async (t) => {
  const plan = freshPlan({
    kind: kindOf('UCPP'),
    birthDate: '1996-01-01',
    start: addDays(today, -20),
    dueDate: addDays(today, 99),
  });
  await la.request('POST', 'Patient', { ...buildPatient(plan), gender: 'male' });
  const first = await la.request<OperationOutcome>('POST', 'Flag', buildFlag(plan));
  t.equal(first.status, 201);
  t.match(first.body.issue, [{ severity: 'warning', diagnostics: /recorded as male/ }]);
  const twin = await la.request<OperationOutcome>('POST', 'Flag', buildFlag({ ...plan, reference: 'TWIN-2' }));
  t.equal(twin.status, 201);
  t.match(twin.body.issue, [{}, { severity: 'warning', diagnostics: /right for twins/ }]);
  t.strictSame(await shown(plan.nhsNumber), ['active', 'active']);
});

t.test('a withdrawn plan is not revived by its reference', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const withdrawn: Flag = { ...buildFlag(plan), status: 'entered-in-error' };
  const byReference = `Flag?identifier=${plan.referenceSystem}|${plan.reference}`;
  t.equal((await la.request('PUT', byReference, withdrawn)).status, 200);
  t.equal((await la.request('PUT', byReference, withdrawn)).status, 200, 'the same again changes nothing');
  const ended: Flag = { ...buildFlag(plan), status: 'inactive', period: { start: plan.start, end: today } };
  const activate = [{ op: 'replace', path: '/status', value: 'active' }];
  const patch = { 'content-type': 'application/json-patch+json' };
  for (const [method, path, body, headers] of [
    ['PUT', byReference, buildFlag(plan), {}],
    ['PUT', byReference, buildFlag(plan), { 'if-match': 'W/"2"' }],
    ['PUT', byReference, ended, {}],
    ['PUT', `Flag/${id}`, { ...buildFlag(plan), id }, {}],
    ['PATCH', byReference, activate, patch],
    ['PATCH', `Flag/${id}`, activate, patch],
  ] as const) {
    const answer = await la.request<OperationOutcome>(method, path, body, headers);
    t.equal(answer.status, 422, `${method} ${path}`);
    t.match(answer.body.issue, [{ diagnostics: /stays withdrawn.*If-Match/, expression: ['Flag.status'] }]);
  }
  for (const type of ['batch', 'transaction'] as const) {
    const answer = await postBundle(la, type, buildRecord(plan));
    t.match(type === 'batch' ? statusesOf(answer)[1] : String(answer.status), /^422/, type);
  }
  t.strictSame(await shown(plan.nhsNumber), []);
  const revived = await la.request('PUT', `Flag/${id}`, { ...buildFlag(plan), id }, { 'if-match': 'W/"2"' });
  t.equal(revived.status, 200, 'by id and version');
  t.strictSame(await shown(plan.nhsNumber), ['active']);
});

t.test('a plan that has ended does not stand in the way of a corrected birth date', async (t) => {
  const plan = freshPlan({ birthDate: '2018-05-01', start: '2019-01-10', end: addDays(today, -10) });
  await submit(la, plan);
  const corrected = { ...plan, birthDate: '2019-05-01' };
  const answer = await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(corrected), { 'if-match': 'W/"1"' });
  t.equal(answer.status, 200);
  const open = freshPlan({ birthDate: '2018-05-01', start: '2019-01-10' });
  await submit(la, open);
  const impossible = buildPatient({ ...open, birthDate: '2019-05-01' });
  const refused = await la.request('PUT', `Patient/${open.nhsNumber}`, impossible, { 'if-match': 'W/"1"' });
  t.equal(refused.status, 422, 'an open plan that would start before the birth does');
});

for (const type of ['batch', 'transaction'] as const) {
  t.test(`a birth date and the start of a plan are corrected in one ${type}, both ways`, async (t) => {
    const plan = freshPlan({ birthDate: '2018-05-01', start: '2018-06-10' });
    await submit(la, plan);
    const later = { ...plan, birthDate: '2019-05-01', start: '2019-06-10' };
    for (const corrected of [later, plan, { ...later, kind: kindOf('LAC') }]) {
      const answer = await postBundle(la, type, buildRecord(corrected));
      t.strictSame(statusesOf(answer), ['200 OK', '200 OK'], JSON.stringify(answer.body));
      const { birthDate, start, kind } = corrected;
      t.match((await la.request<Patient>('GET', `Patient/${plan.nhsNumber}`)).body, { birthDate });
      const seen = await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`);
      t.match(resourcesOf<Flag>(seen), [{ period: { start }, code: { coding: [{ code: kind.code }] } }]);
    }
    const impossible = { ...plan, birthDate: '2020-05-01', start: '2020-04-30' };
    const refused = await postBundle(la, type, buildRecord(impossible));
    const statuses = type === 'batch' ? statusesOf(refused) : [String(refused.status)];
    for (const status of statuses) t.match(status, /^422/);
    t.match((await la.request<Patient>('GET', `Patient/${plan.nhsNumber}`)).body, { birthDate: later.birthDate });
    const alone = await postBundle(la, type, buildRecord({ ...later, birthDate: '2020-05-01' }).slice(0, 1));
    t.match(type === 'batch' ? statusesOf(alone)[0] : String(alone.status), /^422/, 'the Patient alone');
  });
}

t.test('an expected date of delivery that cannot be is refused', async (t) => {
  const start = addDays(today, -20);
  for (const [dueDate, status] of [
    ['0001-01-01', /^422/],
    ['9999-12-31', /^422/],
    [addDays(start, -29), /^422/],
    [addDays(start, -28), /^201/],
    [addDays(start, 308), /^201/],
    [addDays(start, 309), /^422/],
  ] as const) {
    const plan = freshPlan({ kind: kindOf('UCPP'), birthDate: '1996-01-01', start, dueDate });
    t.match((await submitted(plan)).statuses[1], status, dueDate);
  }
});

t.test('a record whose Patient is refused ends or withdraws a plan and does nothing else', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  await submit(world.otherLa, { ...plan, kind: kindOf('LAC') });
  const differing = { ...plan, birthDate: '2018-01-01', family: 'Elsewhere' };
  const send = async (over: Partial<SyntheticPlan>) =>
    statusesOf(await postBundle(la, 'batch', buildRecord({ ...differing, ...over })));
  const stored = async () => (await la.request<Flag>('GET', `Flag/${id}`)).body;
  for (const over of [
    { end: today, start: '2025-02-01' },
    { end: today, kind: kindOf('LAC') },
    { start: '2025-02-01' },
  ]) {
    t.strictSame(await send(over), ['409 Conflict', '422 Unprocessable Entity'], JSON.stringify(over));
    t.match(await stored(), { status: 'active', period: { start: plan.start } });
  }
  t.strictSame(await send({ end: today }), ['409 Conflict', '200 OK'], 'an end is taken');
  t.match(await stored(), { status: 'inactive', period: { start: plan.start, end: today } });
});
