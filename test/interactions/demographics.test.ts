import { randomUUID } from 'node:crypto';
import type { Bundle, Flag, Patient } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient, FhirResponse } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import {
  codesOf,
  daysFromNow,
  freshPlan,
  kindOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
} from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, thirdLa, epr } = world;

const seenByNhs = async ({ nhsNumber }: SyntheticPlan): Promise<Flag[]> =>
  resourcesOf<Flag>(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`));
const asFlag = (plan: SyntheticPlan, over: Partial<Flag>): Flag => ({ ...buildFlag(plan), ...over });
const ended = (plan: SyntheticPlan): Flag =>
  asFlag(plan, { status: 'inactive', period: { start: plan.start, end: daysFromNow(-30) } });
const withdrawn = (plan: SyntheticPlan): Flag => asFlag(plan, { status: 'entered-in-error' });

/** The record of a plan as a case system sends it, with this Flag in it. */
const recordWith = (plan: SyntheticPlan, flag: Flag): unknown[] => {
  const [patient, entry] = buildRecord(plan);
  return [patient, { ...entry, resource: flag }];
};

t.test('a batch whose Patient is refused still ends and withdraws the plan', async (t) => {
  const wrong: [string, Partial<SyntheticPlan>, string][] = [
    ['another birth date and name', { birthDate: '2018-01-01', family: 'Other' }, '409 Conflict'],
    ['born in the future', { birthDate: '2999-01-01' }, '422 Unprocessable Entity'],
    ['no full birth date', { birthDate: '2018' }, '422 Unprocessable Entity'],
  ];
  for (const [name, over, status] of wrong) {
    const plan = freshPlan();
    await submit(la, plan);
    await submit(otherLa, { ...plan, kind: kindOf('LAC'), reference: randomUUID() });
    const corrected = { ...plan, ...over };
    const open = await postBundle(la, 'batch', buildRecord({ ...corrected, start: '2025-02-01' }));
    t.strictSame(statusesOf(open), [status, '422 Unprocessable Entity'], `${name}: an open plan is refused`);
    const answer = await postBundle(la, 'batch', recordWith(corrected, ended(plan)));
    t.strictSame(statusesOf(answer), [status, '200 OK'], `${name}: ended`);
    const shown = (await seenByNhs(plan)).map((flag) => [flag.code.coding?.[0]?.code, flag.status]).sort();
    t.strictSame(shown, [
      [plan.kind.code, 'inactive'],
      [kindOf('LAC').code, 'active'],
    ]);
    const gone = await postBundle(la, 'batch', recordWith(corrected, withdrawn(plan)));
    t.strictSame(statusesOf(gone), [status, '200 OK'], `${name}: withdrawn`);
    t.equal((await seenByNhs(plan)).length, 1);
  }
});

t.test('a refused Patient lets no new, reopened or revived plan through', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  await submit(otherLa, { ...plan, kind: kindOf('LAC'), reference: randomUUID() });
  const other = { ...plan, birthDate: '2018-01-01', family: 'Other' };
  const refused = ['409 Conflict', '422 Unprocessable Entity'];
  const fresh = { ...other, reference: 'never recorded' };
  for (const flag of [ended(fresh), withdrawn(fresh)]) {
    t.strictSame(statusesOf(await postBundle(la, 'batch', recordWith(fresh, flag))), refused);
    const [patient] = buildRecord(fresh);
    const created = { resource: flag, request: { method: 'POST', url: 'Flag' } };
    t.strictSame(statusesOf(await postBundle(la, 'batch', [patient, created])), refused);
  }
  await la.request('PUT', `Flag/${id}`, { ...ended(plan), id });
  t.strictSame(statusesOf(await postBundle(la, 'batch', recordWith(other, buildFlag(plan)))), refused, 'reopened');
  t.equal((await seenByNhs(plan)).length, 2);
});

t.test('a plan ends alone, whatever became of the Patient', async (t) => {
  const plan = freshPlan({ birthDate: '2010-03-04', start: '2026-01-31' });
  const [id = ''] = await submit(la, plan);
  await la.request('PUT', `Flag/${id}`, { ...withdrawn(plan), id });
  const older = { ...plan, birthDate: '2009-03-04', reference: randomUUID() };
  await submit(otherLa, older);
  const again = await la.request('PUT', `Flag/${id}`, { ...withdrawn(plan), id });
  t.equal(again.status, 200, 'withdrawn again each night');
});

t.test('what another authority stated decides nothing, whether or not it holds a plan', async (t) => {
  for (const how of ['batch', 'transaction'] as const) {
    const plan = freshPlan();
    const mistaken = { ...plan, birthDate: '2018-01-01', family: 'Mistaken' };
    t.equal((await otherLa.request('POST', 'Patient', buildPatient(mistaken))).status, 201);
    const answer = await postBundle(la, how, buildRecord(plan));
    t.strictSame(statusesOf(answer), ['201 Created', '201 Created'], how);
    t.notMatch(JSON.stringify(answer.body), /Mistaken|2018|differs|already recorded/);
    t.equal((await seenByNhs(plan)).length, 1);
    const known = await la.request<Patient>('GET', `Patient/${plan.nhsNumber}`);
    t.match(known.body, { birthDate: plan.birthDate, name: [{ family: plan.family }] });
    t.equal((await la.request('GET', `Patient/${plan.nhsNumber}/_history/2`)).status, 404);
    const theirs = await otherLa.request('POST', 'Flag', buildFlag({ ...mistaken, kind: kindOf('LAC') }));
    t.equal(theirs.status, 201, 'their plan is taken on the birth date that they stated');
    t.equal((await seenByNhs(plan)).length, 2, 'and both are shown');
  }
});

t.test('several holders: each corrects the birth date that it stated, and each ends its plan', async (t) => {
  const wrong = freshPlan({ birthDate: '2018-03-04' });
  const [mine = ''] = await submit(la, wrong);
  await submit(otherLa, { ...wrong, kind: kindOf('LAC'), reference: randomUUID() });
  const right = { ...wrong, birthDate: '2019-03-04' };
  t.equal((await la.request('PUT', `Patient/${wrong.nhsNumber}`, buildPatient(right))).status, 200);
  const guarded = { 'if-match': 'W/"1"' };
  t.equal((await otherLa.request('PUT', `Patient/${wrong.nhsNumber}`, buildPatient(right), guarded)).status, 200);
  t.strictSame(statusesOf(await postBundle(la, 'transaction', recordWith(right, ended(right)))), ['200 OK', '200 OK']);
  t.match((await la.request('GET', `Flag/${mine}`)).body, { status: 'inactive' });
});

t.test('a plan that was withdrawn leaves nothing in the way of the next authority', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(otherLa, { ...plan, birthDate: '2018-01-01' });
  t.equal((await otherLa.request('DELETE', `Flag/${id}`)).status, 204);
  await submit(la, plan);
  t.match((await la.request('GET', `Patient/${plan.nhsNumber}`)).body, { birthDate: plan.birthDate });
});

t.test('500 numbers that an authority submitted in one batch stop nobody', async (t) => {
  const plans = Array.from({ length: 20 }, () => freshPlan());
  const typed = plans.map((plan) => buildRecord({ ...plan, birthDate: '2001-01-01' })[0]);
  const answers = statusesOf(await postBundle(otherLa, 'batch', typed));
  t.strictSame(new Set(answers), new Set(['201 Created']));
  await submit(la, ...plans);
  for (const plan of plans.slice(0, 3)) t.match(await seenByNhs(plan), [{ status: 'active' }]);
});

t.test('a batch of birth dates, or of names, finds none that another authority stated', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const dates = Array.from({ length: 40 }, (_, index) => daysFromNow(-2700 - index));
  t.ok(!dates.includes(plan.birthDate));
  const probes = [
    ...dates.map((birthDate) => ({ birthDate })),
    { birthDate: plan.birthDate },
    { family: 'Nobody' },
    {},
  ];
  const entries = probes.map((over) => ({
    resource: buildPatient({ ...plan, ...over }),
    request: { method: 'POST', url: 'Patient' },
  }));
  const answers = (await postBundle(otherLa, 'batch', entries)).body.entry ?? [];
  const seen = answers.slice(1).map(({ response }) => [response?.status, codesOf({ body: response?.outcome ?? {} })]);
  t.equal(answers[0]?.response?.status, '201 Created');
  const [born, bornBack, named, same] = [seen.slice(0, 39), seen[39], seen[40], seen[41]];
  t.equal(new Set(born.map(String)).size, 1);
  t.strictSame(bornBack, born[0], 'the date that the other authority stated is answered as any other');
  t.strictSame(named, ['200 OK', ['business-rule']], 'another name than its own before');
  t.strictSame(same, named);
});

t.test('a submission does not tell what another authority stated', async (t) => {
  const answerOver = async (client: FhirClient, stated: Partial<SyntheticPlan> | undefined): Promise<string> => {
    const plan = freshPlan();
    if (stated !== undefined) await submit(thirdLa, { ...plan, ...stated, reference: randomUUID() });
    const answers: FhirResponse<unknown>[] = [];
    for (const how of ['PUT', 'validate', 'batch'] as const) {
      const [path, body] = {
        PUT: [`Patient/${plan.nhsNumber}`, buildPatient(plan)],
        validate: ['Patient/$validate', buildPatient(plan)],
        batch: ['', { resourceType: 'Bundle', type: 'batch', entry: buildRecord(plan) }],
      }[how];
      answers.push(await client.request(how === 'PUT' ? 'PUT' : 'POST', String(path), body));
    }
    const seen = answers.map(({ status, headers, body }) => [status, headers.get('etag'), body]);
    const text = JSON.stringify(seen).replaceAll(plan.nhsNumber, 'N').replaceAll(plan.reference, 'R');
    return text.replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, 'T').replace(/[0-9a-f-]{36}/g, 'ID');
  };
  const answers = new Set<string>();
  for (const stated of [
    undefined,
    {},
    { birthDate: '2018-01-01' },
    { family: 'Else' },
    { birthDate: '2018-01-01', given: 'Bo' },
  ]) {
    answers.add(await answerOver(la, stated));
  }
  t.equal(answers.size, 1, [...answers].join('\n'));
});

t.test('who alone submitted a Patient is told what it corrects', async (t) => {
  const plan = freshPlan();
  await la.request('POST', 'Patient', buildPatient(plan));
  const corrected = buildPatient({ ...plan, birthDate: '2018-01-01', family: 'Renamed' });
  const answer = await la.request('PUT', `Patient/${plan.nhsNumber}`, corrected);
  t.strictSame([answer.status, codesOf(answer)], [200, ['business-rule', 'business-rule']]);
  t.equal(
    (await la.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient(plan), { 'if-match': 'W/"1"' })).status,
    412,
  );
});
