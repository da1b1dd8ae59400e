import type { AuditEvent, Bundle, Flag, OperationOutcome, Organization, Patient } from 'fhir/r4.js';
import t from 'tap';
import { addDays, londonDate } from '../../src/cpis/london-date.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openAuditTrail } from '../support/audit-trail.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, outcomeOf, postBundle, resourcesOf, statusesOf, submit } from '../support/submissions.ts';
import { setTerms } from '../support/terms.ts';
import { countsOf, endTerm, requestTransfer, transferPlans } from '../support/transfers.ts';

const world = await openWorld(t);
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, thirdLa, epr, operator, ownId, otherId, registry } = world;
const thirdId = registry.authorities[2]?.organisationId ?? '';
const today = londonDate(Date.now());
t.beforeEach(() => setTerms(world, {}));

async function lookUp({ nhsNumber }: SyntheticPlan) {
  const answer = await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`);
  return { plans: resourcesOf<Flag>(answer), holders: resourcesOf<Organization>(answer, 'include') };
}
/** A look-up without what a transfer changes. */
const contentOf = ({ plans }: Awaited<ReturnType<typeof lookUp>>) =>
  plans.map(({ meta: _, author: __, ...content }) => content);
const statusOf = async (client: FhirClient, path: string): Promise<number> =>
  (await client.request('GET', path)).status;
const eventsOf = async (client: FhirClient, query: string): Promise<AuditEvent[]> =>
  resourcesOf<AuditEvent>(await client.request<Bundle>('GET', `AuditEvent?${query}`));
const versionsOf = async (client: FhirClient, path: string): Promise<(string | undefined)[]> =>
  ((await client.request<Bundle>('GET', path)).body.entry ?? []).map(({ resource }) => resource?.meta?.versionId);

t.test('a plan passes as the next version of the same Flag, with the telephones of the successor', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  const before = await lookUp(plan);
  await endTerm(world, ownId, otherId, thirdId);
  const counts = await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  t.match(counts, { plans: 1, transferred: 1, failed: 0, overlapping: 0, 'same-reference': 0, 'without-plan': 0 });
  const after = await lookUp(plan);
  t.strictSame(contentOf(after), contentOf(before), 'NHS staff see the same plan');
  t.match(after.plans, [{ id, meta: { versionId: '2' }, author: { reference: `Organization/${otherId}` } }]);
  t.match(after.holders, [{ id: otherId, telecom: [{ value: '01632 960029' }, { value: '01632 960020' }] }]);
  const again = await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  t.match(again, { plans: 0, transferred: 0, 'transferred-before': 1 }, 'a repeated call changes nothing');
  t.strictSame(await lookUp(plan), after);
  const [event, ...others] = await eventsOf(otherLa, `entity=Flag/${id}&action=U`);
  t.strictSame(others, []);
  t.match(event, {
    type: { code: 'plan-life-cycle' },
    subtype: [{ code: 'transferred' }],
    agent: [{ who: { display: 'cpis-fhir' }, requestor: true }, {}, { who: { reference: `Organization/${otherId}` } }],
    entity: [{ detail: [{ valueString: today }] }],
  });
});

t.test('each authority sees what is its own', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  await submit(la, { ...plan, start: '2025-02-01' });
  await lookUp(plan);
  const seenBefore = (await eventsOf(la, `patient=${plan.nhsNumber}&_count=50`)).map(({ id: event }) => event);
  await endTerm(world, ownId, otherId, thirdId);
  t.equal(await statusOf(otherLa, `Flag/${id}`), 404);
  t.equal(await statusOf(otherLa, `Patient/${plan.nhsNumber}`), 404);
  t.strictSame(await eventsOf(otherLa, `patient=${plan.nhsNumber}&subtype=search-type`), []);
  await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  await lookUp(plan);
  await submit(otherLa, { ...plan, start: '2025-02-02' });

  t.strictSame(await versionsOf(otherLa, `Flag/${id}/_history`), ['4', '3', '2', '1'], 'its history passes');
  t.equal(await statusOf(otherLa, `Flag/${id}/_history/1`), 200);
  t.match((await otherLa.request<Patient>('GET', `Patient/${plan.nhsNumber}`)).body, { birthDate: plan.birthDate });
  t.match(resourcesOf(await otherLa.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`)), [{ id }]);
  const searches = await eventsOf(otherLa, `patient=${plan.nhsNumber}&subtype=search-type`);
  const history = searches.filter(({ agent }) => agent.some(({ name }) => name === 'Alex Example'));
  t.equal(history.length, 2, 'the access history passes');
  const [, inherited] = history;
  t.match(inherited?.agent.at(-1), { who: { reference: `Organization/${otherId}` } }, 'as one of its custodians');
  t.equal(await statusOf(otherLa, `AuditEvent/${inherited?.id}`), 200);
  t.equal(await statusOf(thirdLa, `AuditEvent/${inherited?.id}`), 404);
  t.strictSame(await eventsOf(thirdLa, `patient=${plan.nhsNumber}&subtype=search-type`), []);

  t.strictSame(await versionsOf(la, `Flag/${id}/_history`), ['2', '1'], 'the predecessor sees what it wrote');
  t.ok((await versionsOf(la, 'Flag/_history?_count=100')).length >= 2);
  t.equal(await statusOf(la, `Flag/${id}/_history/2`), 200);
  t.equal(await statusOf(la, `Flag/${id}/_history/3`), 404, 'and nothing newer');
  t.equal(await statusOf(la, `Flag/${id}/_history/4`), 404);
  t.equal(await statusOf(la, `Flag/${id}`), 404);
  t.equal(await statusOf(la, `Patient/${plan.nhsNumber}`), 200, 'it reads the Patient as it stated it');
  t.strictSame(resourcesOf(await la.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`)), []);
  const seenAfter = await eventsOf(la, `patient=${plan.nhsNumber}&_count=50`);
  const newer = seenAfter.filter(({ id: event }) => !seenBefore.includes(event));
  const others = newer.filter(({ agent }) => !agent.some(({ who }) => who?.display === 'Northmoor (synthetic)'));
  t.strictSame(others, [], 'of what others do, nothing newer');
  t.match(await eventsOf(la, `entity=Flag/${id}&type=plan-life-cycle`), [{ subtype: [{ code: 'transferred' }] }]);
});

t.test('a submission of the successor by the same reference amends the plan that passed', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  await endTerm(world, ownId, otherId);
  await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  t.strictSame(await submit(otherLa, { ...plan, end: today }), [id]);
  const { plans } = await lookUp(plan);
  t.match(plans, [{ id, status: 'inactive', meta: { versionId: '3' } }]);
  t.equal(await statusOf(la, `Flag/${id}/_history/1`), 200, 'later versions keep what the predecessor may see');
  t.strictSame(await versionsOf(otherLa, `Flag/${id}/_history`), ['3', '2', '1']);
});

t.test('before a plan has passed, its successor cannot submit it a second time', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  await endTerm(world, ownId, otherId);
  const early = await postBundle(otherLa, 'batch', buildRecord(plan));
  t.match(statusesOf(early)[1], /^503/);
  t.match(outcomeOf(early.body.entry?.[1]).issue, [{ code: 'transient', diagnostics: /not been transferred/ }]);
  t.equal((await lookUp(plan)).plans.length, 1);
  await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  t.strictSame(await submit(otherLa, plan), [id]);
  const again = await postBundle(otherLa, 'batch', buildRecord({ ...plan, reference: 'new-case-system-1' }));
  t.match(statusesOf(again)[1], /^409/, 'nor by another reference');
});

t.test('the reference systems of the predecessor continue under the successor', async (t) => {
  const plan = freshPlan({ referenceSystem: 'https://old.example.org/cases' });
  const [id] = await submit(la, plan);
  await endTerm(world, ownId, otherId);
  const own = { referenceSystems: ['https://new.example.org/cases'] };
  await setTerms(world, {
    [ownId]: {
      validTo: addDays(today, -1),
      replacedBy: [otherId],
      referenceSystems: ['https://old.example.org/cases'],
    },
    [otherId]: own,
  });
  await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  t.strictSame(await submit(otherLa, { ...plan, start: '2025-02-02' }), [id]);
  const third = freshPlan({ referenceSystem: 'https://third.example.org/cases' });
  t.match(statusesOf(await postBundle(otherLa, 'batch', buildRecord(third)))[1], /^422/);
  await setTerms(world, { [ownId]: { referenceSystems: ['https://old.example.org/cases'] }, [otherId]: own });
  const early = freshPlan({ referenceSystem: 'https://old.example.org/cases' });
  t.match(
    statusesOf(await postBundle(otherLa, 'batch', buildRecord(early)))[1],
    /^422/,
    'only from the vesting day on',
  );
});

t.test('all plans pass, whatever their state, and the counts agree', async (t) => {
  const { json } = registry;
  t.ok(json);
  const child = freshPlan();
  const ended = freshPlan({ end: addDays(today, -3) });
  const longEnded = freshPlan({ start: '2020-01-01', end: '2021-01-01' });
  const withdrawn = freshPlan();
  const second = { ...freshPlan({ kind: kindOf('LAC') }), nhsNumber: child.nhsNumber };
  await submit(thirdLa, child, second, ended, longEnded, withdrawn);
  const [entry, flag] = buildRecord(withdrawn);
  const withdrawal = { ...flag, resource: { ...(flag?.resource as Flag), status: 'entered-in-error' } };
  t.match(statusesOf(await postBundle(thirdLa, 'batch', [entry, withdrawal])), [/^200/, /^200/]);
  await endTerm(world, thirdId, otherId);
  const before = await transferPlans(operator, thirdId, otherId, { check: true });
  t.match(before, { plans: 5, remaining: 5, 'transferred-before': 0, transferred: 0 });
  t.equal((await lookUp(child)).plans.length, 2);
  t.match(await transferPlans(operator, thirdId, otherId), { plans: 5, transferred: 5, failed: 0 });
  t.match(await transferPlans(operator, thirdId, otherId, { check: true }), { remaining: 0, 'transferred-before': 5 });
  t.match((await lookUp(child)).plans, [{ author: { reference: `Organization/${otherId}` } }, {}]);
  t.equal((await lookUp(child)).plans.length, 2);
  t.strictSame((await lookUp(withdrawn)).plans, [], 'a withdrawn plan stays withdrawn');
  t.match(await transferPlans(operator, thirdId, otherId), { plans: 0, transferred: 0 });
});

t.test('a plan that the successor holds too is reported, and both are kept', async (t) => {
  const plan = freshPlan();
  const same = { ...plan, given: 'Ada' };
  const [ownPlan] = await submit(otherLa, same);
  const [id] = await submit(la, plan);
  await endTerm(world, ownId, otherId);
  const scope = { numbers: [plan.nhsNumber] };
  const expected = { plans: 1, overlapping: 1, 'same-reference': 1 };
  t.match(await transferPlans(operator, ownId, otherId, { ...scope, check: true }), { ...expected, transferred: 0 });
  t.match(await transferPlans(operator, ownId, otherId, scope), { ...expected, transferred: 1 });
  const { plans } = await lookUp(plan);
  t.strictSame(plans.map((each) => each.id).sort(), [ownPlan, id].sort(), 'both are shown');
  const found = await otherLa.request<OperationOutcome>(
    'PUT',
    `Flag?identifier=${plan.referenceSystem}|${plan.reference}`,
    buildRecord(plan)[1]?.resource,
  );
  t.equal(found.status, 412, 'the reference names two plans');
  const stored = (await otherLa.request<Flag>('GET', `Flag/${id}`)).body;
  const end = { ...stored, status: 'inactive', period: { ...stored.period, end: today } };
  t.equal((await otherLa.request('PUT', `Flag/${id}`, end)).status, 200, 'it ends by its id, with its reference');
  t.match((await lookUp(plan)).plans.map(({ status }) => status).sort(), ['active', 'inactive']);
});

t.test('what the registry or the day does not allow is refused, and changes nothing', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const scope = { numbers: [plan.nhsNumber] };
  const refused = async (expected: number, text: RegExp, from = ownId, to = otherId, more: object = scope) => {
    const answer = await requestTransfer(operator, from, to, more);
    t.equal(answer.status, expected, String(text));
    t.match((answer.body as unknown as OperationOutcome).issue?.[0]?.diagnostics, text);
  };
  await refused(422, /does not name this successor/);
  await setTerms(world, { [ownId]: { validTo: today, replacedBy: [otherId] } });
  await refused(422, new RegExp(`pass on ${addDays(today, 1)} at 00:00`));
  t.match(
    countsOf(await requestTransfer(operator, ownId, otherId, { ...scope, check: true })),
    { plans: 1, transferred: 0, 'vesting-day': addDays(today, 1) },
    'a check is possible before',
  );
  await endTerm(world, ownId, otherId);
  await refused(422, /does not name this successor/, ownId, thirdId);
  await refused(404, /no local authority/, 'ZZH01');
  await refused(404, /no local authority/, 'E06999999');
  await refused(400, /check digit/, ownId, otherId, { numbers: ['9990000011'] });
  await refused(400, /either nhs-number/, ownId, otherId, { numbers: [] });
  await refused(400, /maximum of 100/, ownId, otherId, { numbers: Array.from({ length: 101 }, () => plan.nhsNumber) });
  await refused(400, /after must be/, ownId, otherId, { ...scope, after: 'abc' });
  for (const client of [la, otherLa, epr]) t.equal((await requestTransfer(client, ownId, otherId, scope)).status, 403);
  t.match((await lookUp(plan)).plans, [{ author: { reference: `Organization/${ownId}` } }]);
  t.match(await transferPlans(operator, ownId, otherId, { numbers: [freshPlan().nhsNumber, plan.nhsNumber] }), {
    plans: 1,
    transferred: 1,
    'without-plan': 1,
  });
});

t.test('the request and each plan are audited, and the request tells the successor nothing', async (t) => {
  const plan = freshPlan();
  const [id] = await submit(la, plan);
  await endTerm(world, ownId, otherId, thirdId);
  const requestId = '00000000-0000-4000-8000-0000000000f1';
  await operator.request(
    'POST',
    `Organization/${ownId}/$transfer`,
    {
      resourceType: 'Parameters',
      parameter: [
        { name: 'to', valueString: otherId },
        { name: 'nhs-number', valueString: plan.nhsNumber },
        { name: 'check', valueBoolean: true },
      ],
    },
    { 'x-request-id': requestId },
  );
  t.match(trail.of(requestId), [{ outcome: '0', patients: [plan.nhsNumber], custodians: [], owed: [] }]);
  await transferPlans(operator, ownId, thirdId, { numbers: [plan.nhsNumber] });
  for (const client of [la, thirdLa]) {
    t.equal((await eventsOf(client, `entity=Flag/${id}&subtype=transferred`)).length, 1);
  }
  t.notOk(world.log().includes(plan.nhsNumber), 'no number in the log');
});
