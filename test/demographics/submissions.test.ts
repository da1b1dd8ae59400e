/** Submissions to a server that asks PDS; the stand-in is a process of its own. */
import type { AuditEvent, Bundle, OperationOutcome, Parameters } from 'fhir/r4.js';
import t from 'tap';
import { buildFlag, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openPdsWorld } from '../support/pds-world.ts';
import {
  daysFromNow,
  freshPlan,
  kindOf,
  outcomeOf,
  postBundle,
  resourcesOf,
  statusesOf,
  submit,
} from '../support/submissions.ts';

const world = await openPdsWorld(t, { CPIS_PDS_TIMEOUT_MS: '2000', CPIS_METRICS_TOKEN: 'metrics-token-of-this-test' });
const { la, otherLa, epr, pds, know } = world;
const newNumber = 'https://cpis-fhir.example.org/fhir/StructureDefinition/cpis-new-nhs-number';

const seen = async (nhsNumber: string) =>
  resourcesOf(await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`)).length;
const codesIn = (outcome: OperationOutcome): string[] =>
  outcome.issue.flatMap(({ details }) => details?.coding?.map(({ code = '' }) => code) ?? []);
/** The status and the codes of a submitted Patient, and the status of its plan. */
const send = async (plan: SyntheticPlan, client = la) => {
  const answer = await postBundle(client, 'batch', buildRecord(plan));
  const [patient] = answer.body.entry ?? [];
  const outcome = outcomeOf(patient);
  return {
    statuses: statusesOf(answer)
      .map((status) => status.slice(0, 3))
      .join(),
    codes: outcome === undefined ? [] : codesIn(outcome),
    outcome,
    text: JSON.stringify(answer.body),
  };
};

t.test('a record is stored only as PDS knows the child', async (t) => {
  const jane = { family: 'Smith', given: 'Jane', birthDate: '2010-10-22' };
  const rows: readonly [string, Partial<SyntheticPlan>, string, string | undefined][] = [
    ['found', { ...jane, nhsNumber: '9990100004' }, '201,201', undefined],
    ['capitals', { ...jane, nhsNumber: '9990100004', family: 'SMITH', given: 'JANE' }, '200,201', undefined],
    ['not found', { ...jane, nhsNumber: '9990100152' }, '422,422', 'CPR01'],
    ['invalidated', { ...jane, nhsNumber: '9990100039' }, '422,422', 'CPR01'],
    [
      'restricted',
      { nhsNumber: '9990100047', family: 'Smythe', given: 'Janet', birthDate: '2010-10-22' },
      '422,422',
      'CPR02',
    ],
    ['birth date', { ...jane, nhsNumber: '9990100136', family: 'Vale', given: 'Eve' }, '409,422', 'CPR03'],
    ['nothing agrees', { ...jane, nhsNumber: '9990100055' }, '409,422', 'CPR03'],
    ['no birth date', { ...jane, nhsNumber: '9990100063', family: 'Hill', given: 'Sam' }, '409,422', 'CPR03'],
    [
      'superseded',
      { nhsNumber: '9990100012', family: 'Cuff', given: 'Marie', birthDate: '2012-03-04' },
      '422,422',
      'CPR05',
    ],
    [
      '408 once',
      { nhsNumber: '9990100071', family: 'Lane', given: 'Ada', birthDate: '2013-07-08' },
      '201,201',
      undefined,
    ],
  ];
  for (const [what, over, statuses, code] of rows) {
    const plan = freshPlan(over);
    const answer = await send(plan, what === 'capitals' ? otherLa : la);
    t.equal(answer.statuses, what === 'capitals' ? '201,201' : statuses, `${what}: ${answer.text}`);
    if (code !== undefined) t.ok(answer.codes.includes(code), `${what}: ${answer.codes}`);
    t.equal((await seen(plan.nhsNumber)) > 0, code === undefined, what);
    t.notMatch(answer.text, newNumber, 'a stranger gets no new number');
  }
});

t.test('another name is a warning', async (t) => {
  const plan = freshPlan();
  await know({ ...plan, given: 'Bo', family: 'Other' });
  const { statuses, outcome } = await send(plan);
  t.equal(statuses, '201,201');
  t.match(outcome, { issue: [{ severity: 'warning', diagnostics: /name is not the one/ }] });
});

t.test('only what is new is matched; the rest is traced in the background', async (t) => {
  const plan = freshPlan();
  await know(plan);
  await submit(la, plan);
  const count = async () => (await pds.requests()).filter(({ number }) => number === plan.nhsNumber).length;
  const before = await count();
  t.equal((await send(plan)).statuses, '200,200');
  t.equal(await count(), before);
  t.equal((await send({ ...plan, given: 'Adah' })).statuses, '200,200');
  t.equal(await count(), before + 1);
});

t.test('a holder may state another birth date before PDS has it, and nobody else', async (t) => {
  const plan = freshPlan();
  await know(plan);
  await submit(la, plan);
  const corrected = { ...plan, birthDate: '2019-03-15' };
  const answer = await send(corrected);
  t.equal(answer.statuses, '200,200');
  t.match(JSON.stringify(answer.outcome), 'birth date is not the one that the demographics service records');
  t.equal((await send({ ...freshPlan(corrected), reference: 'x1' }, otherLa)).statuses, '409,422');
  t.equal(
    (await send({ ...corrected, family: 'Quite', given: 'Different', birthDate: '2018-01-01' })).statuses,
    '409,422',
  );
});

t.test('PDS decides between authorities that state different birth dates', async (t) => {
  const plan = freshPlan();
  const birthDate = '2019-03-15';
  await know(plan);
  const [mine = ''] = await submit(la, plan);
  const [theirs = ''] = await submit(otherLa, { ...plan, kind: kindOf('LAC'), reference: 'x2' });
  const detailsOf = async (client: typeof la, flag: string) =>
    resourcesOf<AuditEvent>(
      await client.request<Bundle>('GET', `AuditEvent?type=plan-life-cycle&entity=Flag/${flag}&_sort=date`),
    ).map(({ subtype }) => subtype?.[0]?.code);
  t.equal((await send({ ...plan, birthDate })).statuses, '200,200');
  t.strictSame([await detailsOf(la, mine), await detailsOf(otherLa, theirs)], [['details-differ'], []]);
  const listed = await world.operator.request<Parameters>('GET', 'Patient/$demographic-conflicts');
  const child = listed.body.parameter?.find(({ part }) => part?.[0]?.valueString === plan.nhsNumber);
  t.strictSame(
    child?.part?.slice(1).map(({ name, valueString }) => `${name} ${valueString}`),
    [`differs ${world.ownId}`],
    'who agrees with PDS is not in conflict',
  );
  await know({ ...plan, birthDate });
  t.equal((await send({ ...plan, birthDate, kind: kindOf('LAC'), reference: 'x2' }, otherLa)).statuses, '200,200');
  t.strictSame(await detailsOf(la, mine), ['details-differ', 'details-agree']);
  t.strictSame(await detailsOf(otherLa, theirs), [], 'it stated what PDS had, before and after');
});

t.test('without PDS nothing is stored, nothing is lost, and plans end all the same', async (t) => {
  const [held, fresh] = [freshPlan(), freshPlan()];
  await know(held, fresh);
  await submit(la, held);
  await pds.setOutage({ status: 503 });
  const answer = await send(fresh);
  t.equal(answer.statuses, '503,503');
  t.ok(answer.codes.includes('CPF05'));
  t.equal((await postBundle(la, 'transaction', buildRecord(fresh))).status, 503);
  t.equal((await send(held)).statuses, '200,200', 'what is known stays confirmed');
  const [patient, entry] = buildRecord({ ...held, given: 'Adah' });
  const asEnded = { ...buildFlag(held), status: 'inactive', period: { start: held.start, end: daysFromNow(-1) } };
  const ended = await postBundle(la, 'batch', [patient, { ...entry, resource: asEnded }]);
  t.match(statusesOf(ended), [/^503/, /^200/], 'an end needs no Patient');
  const withdrawn = { ...buildFlag(held), status: 'entered-in-error' };
  t.match(statusesOf(await postBundle(la, 'batch', [patient, { ...entry, resource: withdrawn }])), [/^503/, /^200/]);
  t.equal(await seen(held.nhsNumber), 0);
  await pds.setOutage({});
  let repeated = await send(fresh);
  for (let tries = 0; repeated.statuses.startsWith('503') && tries < 200; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    repeated = await send(fresh);
  }
  t.equal(repeated.statuses, '201,201', 'the same record again');
});

t.test('no NHS number, name or token is logged or measured', async (t) => {
  const headers = { authorization: 'Bearer metrics-token-of-this-test' };
  const metrics = await fetch(`${world.server.origin}/metrics`, { headers }).then((response) => response.text());
  t.match(metrics, /cpis_demographics_requests_total\{outcome="answered"\} \d+/);
  t.match(world.log(), 'demographics-unavailable');
  for (const text of [metrics, world.log()]) t.notMatch(text, /(?<![\d.])999\d{7}\b|Testchild|Smith|Bearer/);
});
