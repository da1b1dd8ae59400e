/** The details of a child on whom several authorities hold plans, when the plans of one of them pass to its successor. */
import { randomUUID } from 'node:crypto';
import type { AuditEvent, Bundle, Parameters } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildPatient, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, resourcesOf, submit } from '../support/submissions.ts';
import { setTerms } from '../support/terms.ts';
import { endTerm, transferPlans } from '../support/transfers.ts';

const world = await openWorld(t);
const { la, otherLa, thirdLa, operator, ownId, otherId, registry } = world;
const thirdId = registry.authorities[2]?.organisationId ?? '';
t.beforeEach(() => setTerms(world, {}));

/** The events of a conflict that an authority sees of its plans with these ids, oldest first. */
async function eventsOf(client: FhirClient, ...flags: readonly string[]): Promise<string[]> {
  const query = flags.map((flag) => `Flag/${flag}`).join();
  const answer = await client.request<Bundle>('GET', `AuditEvent?type=plan-life-cycle&entity=${query}&_sort=date`);
  return resourcesOf<AuditEvent>(answer)
    .map(({ subtype }) => subtype?.[0]?.code ?? '')
    .filter((code) => code.startsWith('details-'));
}
/** The authorities that the operator is shown for a child. */
async function listed(number: string): Promise<string[]> {
  const { body } = await operator.request<Parameters>('GET', 'Patient/$demographic-conflicts');
  const child = (body.parameter ?? []).find(({ part }) => part?.[0]?.valueString === number);
  return (child?.part ?? []).flatMap(({ name, valueString = '' }) => (name === 'differs' ? [valueString] : []));
}
const wrongDate = '2018-03-04';
const another = (plan: SyntheticPlan, over: Partial<SyntheticPlan> = {}): SyntheticPlan => ({
  ...plan,
  ...{ kind: kindOf('LAC'), reference: randomUUID() },
  ...over,
});
/** Passes the plans of `la` on this child to `otherLa`. */
async function pass({ nhsNumber }: SyntheticPlan): Promise<void> {
  await endTerm(world, ownId, otherId);
  const counts = await transferPlans(operator, ownId, otherId, { numbers: [nhsNumber] });
  t.match(counts, { failed: 0 });
}

t.test(
  'the successor is notified of a conflict that it takes over, and the operator sees it in the list',
  async (t) => {
    const plan = freshPlan();
    const [passing = ''] = await submit(la, plan);
    const [theirs = ''] = await submit(thirdLa, another(plan, { birthDate: wrongDate }));
    t.strictSame(await listed(plan.nhsNumber), [ownId, thirdId].sort());
    await pass(plan);
    t.strictSame(await listed(plan.nhsNumber), [otherId, thirdId].sort());
    t.strictSame(await eventsOf(otherLa, passing), ['details-differ']);
    t.strictSame(await eventsOf(thirdLa, theirs), ['details-differ'], 'not again');
    const patient = buildPatient({ ...plan, birthDate: plan.birthDate });
    t.equal((await thirdLa.request('PUT', `Patient/${plan.nhsNumber}`, patient)).status, 200);
    t.strictSame(await listed(plan.nhsNumber), []);
    t.strictSame(await eventsOf(otherLa, passing), ['details-differ', 'details-agree']);
  },
);

t.test('a conflict between an authority and its successor ends when its plans have passed', async (t) => {
  const plan = freshPlan();
  const [passing = ''] = await submit(la, plan);
  const [kept = ''] = await submit(otherLa, another(plan, { birthDate: wrongDate }));
  t.strictSame(await listed(plan.nhsNumber), [ownId, otherId].sort());
  await pass(plan);
  t.strictSame(await listed(plan.nhsNumber), []);
  t.strictSame(await eventsOf(otherLa, kept, passing), ['details-differ', 'details-agree']);
});

t.test('a conflict begins when the successor stated other details than another holder', async (t) => {
  const plan = freshPlan();
  const [passing = ''] = await submit(la, plan);
  const [theirs = ''] = await submit(thirdLa, another(plan));
  const patient = buildPatient({ ...plan, birthDate: wrongDate });
  t.equal((await otherLa.request('PUT', `Patient/${plan.nhsNumber}`, patient)).status, 201);
  t.strictSame([await listed(plan.nhsNumber), await eventsOf(thirdLa, theirs)], [[], []]);
  await pass(plan);
  t.strictSame(await listed(plan.nhsNumber), [otherId, thirdId].sort());
  t.strictSame(await eventsOf(otherLa, passing), ['details-differ']);
  t.strictSame(await eventsOf(thirdLa, theirs), ['details-differ']);
  t.match(world.log(), new RegExp(`"event":"details-differ","authorities":\\["${otherId}","${thirdId}"\\]`));
});

t.test('two plans that pass one after the other begin no conflict between the two authorities', async (t) => {
  const plan = freshPlan();
  const passing = await submit(la, plan, another(plan));
  const patient = buildPatient({ ...plan, birthDate: wrongDate });
  t.equal((await otherLa.request('PUT', `Patient/${plan.nhsNumber}`, patient)).status, 201);
  await pass(plan);
  t.strictSame(await listed(plan.nhsNumber), []);
  t.strictSame(await eventsOf(otherLa, ...passing), []);
});
