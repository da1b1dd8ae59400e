import { randomUUID } from 'node:crypto';
import type { AuditEvent, Bundle, Parameters } from 'fhir/r4.js';
import t from 'tap';
import { subscriptionTopics } from '../../src/cpis/subscription-topic.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord, type SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, kindOf, postBundle, resourcesOf, submit } from '../support/submissions.ts';

const world = await openWorld(t);
const { la, otherLa, thirdLa, epr, operator, ownId, otherId } = world;

/** The events of a conflict that an authority sees of its own plans, oldest first. */
async function eventsOf(client: FhirClient, flag: string): Promise<string[]> {
  const answer = await client.request<Bundle>('GET', `AuditEvent?type=plan-life-cycle&entity=Flag/${flag}&_sort=date`);
  return resourcesOf<AuditEvent>(answer).map(({ subtype }) => subtype?.[0]?.code ?? '');
}
const list = async (): Promise<Parameters> => {
  const answer = await operator.request<Parameters>('GET', 'Patient/$demographic-conflicts');
  t.equal(answer.status, 200);
  return answer.body;
};
const listed = async (number: string): Promise<Record<string, string[]> | undefined> => {
  const child = (await list()).parameter?.find(({ part }) => part?.[0]?.valueString === number);
  if (child === undefined) return undefined;
  const of = (name: string) =>
    (child.part ?? []).filter((part) => part.name === name).map((part) => `${part.valueString}`);
  return { differs: of('differs'), tried: of('tried') };
};
const resolve = (number: string) =>
  operator.request('POST', `Patient/${number}/$resolve-demographics`, { resourceType: 'Parameters' });
const lac = (plan: SyntheticPlan, over: Partial<SyntheticPlan> = {}): SyntheticPlan => ({
  ...plan,
  ...{ kind: kindOf('LAC'), reference: randomUUID() },
  ...over,
});
const state = (client: FhirClient, plan: SyntheticPlan, birthDate: string) =>
  client.request('PUT', `Patient/${plan.nhsNumber}`, buildPatient({ ...plan, birthDate }));

t.test(
  'birth dates that differ: taken and shown, each holder and the operator notified, ended by agreement',
  async (t) => {
    const plan = freshPlan();
    const [mine = ''] = await submit(la, plan);
    t.equal(await listed(plan.nhsNumber), undefined);
    const [theirs = ''] = await submit(otherLa, lac(plan, { birthDate: '2018-03-04' }));
    t.equal((await epr.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`)).body.total, 2, 'both plans are shown');
    t.strictSame([await eventsOf(la, mine), await eventsOf(otherLa, theirs)], [['details-differ'], ['details-differ']]);
    t.strictSame(await listed(plan.nhsNumber), { differs: [ownId, otherId].sort(), tried: [] });
    t.match(world.log(), new RegExp(`"event":"details-differ","authorities":\\["${ownId}","${otherId}"\\]`));
    const seen = await la.request<Bundle>('GET', `AuditEvent?type=plan-life-cycle&entity=Flag/${mine}`);
    t.notMatch(
      JSON.stringify(seen.body),
      new RegExp(`${otherId}|2018-03-04|2019-03-04|${plan.nhsNumber}`),
      'no details',
    );
    t.equal((await state(otherLa, plan, plan.birthDate)).status, 200);
    t.strictSame(
      [await eventsOf(la, mine), await eventsOf(otherLa, theirs)],
      [
        ['details-differ', 'details-agree'],
        ['details-differ', 'details-agree'],
      ],
    );
    t.equal(await listed(plan.nhsNumber), undefined);
  },
);

t.test('an authority without a plan is in no conflict; a conflict ends when one holder is left', async (t) => {
  const plan = freshPlan();
  const [mine = ''] = await submit(la, plan);
  t.equal((await state(thirdLa, plan, '2018-03-04')).status, 201);
  t.strictSame([await eventsOf(la, mine), await listed(plan.nhsNumber)], [[], undefined]);
  const transaction = await postBundle(otherLa, 'transaction', buildRecord(lac(plan, { birthDate: '2018-03-04' })));
  t.equal(transaction.status, 200);
  t.strictSame(await eventsOf(la, mine), ['details-differ'], 'by a transaction as well');
  const flags = resourcesOf(await otherLa.request<Bundle>('GET', `Flag?patient=${plan.nhsNumber}`));
  t.equal((await otherLa.request('DELETE', `Flag/${flags[0]?.id}`)).status, 204);
  t.strictSame(await eventsOf(la, mine), ['details-differ', 'details-agree']);
  t.equal(await listed(plan.nhsNumber), undefined);
});

t.test('an operator takes a conflict off the list until the statements change again', async (t) => {
  const plan = freshPlan();
  const [mine = ''] = await submit(la, plan);
  await submit(otherLa, lac(plan, { birthDate: '2018-03-04' }));
  t.match(await resolve(plan.nhsNumber), { status: 200, body: { parameter: [{ name: 'child' }] } });
  t.equal(await listed(plan.nhsNumber), undefined);
  t.equal((await resolve(plan.nhsNumber)).status, 404, 'nothing is left to look at');
  const [another = ''] = await submit(la, { ...plan, kind: kindOf('LAC'), reference: randomUUID() });
  t.equal(await listed(plan.nhsNumber), undefined, 'another plan is no new statement');
  await state(otherLa, plan, '2018-03-05');
  t.ok(await listed(plan.nhsNumber));
  // The second event may be about either plan.
  t.strictSame(await eventsOf(la, `${mine},Flag/${another}`), ['details-differ', 'details-differ']);
  for (const client of [la, epr]) {
    t.equal((await client.request('GET', 'Patient/$demographic-conflicts')).status, 403);
    t.equal((await client.request('POST', `Patient/${plan.nhsNumber}/$resolve-demographics`)).status, 403);
  }
  t.equal((await operator.request('GET', `Patient/${plan.nhsNumber}`)).status, 403, 'the operator sees no Patient');
});

t.test(
  'three differing statements in a day alarm the holders and the operator, and the answers stay the same',
  async (t) => {
    const plan = freshPlan();
    const [mine = ''] = await submit(la, plan);
    const dates = ['2018-03-01', '2018-03-02', '2018-03-03', '2018-03-04', plan.birthDate];
    const entries = dates.map((birthDate) => ({
      resource: buildPatient({ ...plan, birthDate }),
      request: { method: 'POST', url: 'Patient' },
    }));
    const answers = await postBundle(thirdLa, 'batch', entries);
    const seen = (answers.body.entry ?? []).slice(1).map(({ response }) => [response?.status, response?.outcome]);
    t.strictSame(JSON.stringify(seen[3]).replace('[4]', '[1]'), JSON.stringify(seen[0]).replace('[1]', '[1]'));
    t.strictSame(await eventsOf(la, mine), ['details-tried'], 'once');
    t.match(await listed(plan.nhsNumber), { differs: [], tried: [/^E/] });
    t.equal((await resolve(plan.nhsNumber)).status, 200);
    t.equal(await listed(plan.nhsNumber), undefined);
  },
);

t.test('the end of a conflict does not confirm a guess', async (t) => {
  const plan = freshPlan();
  const [mine = ''] = await submit(la, plan);
  await submit(otherLa, lac(plan, { birthDate: '2018-03-04' }));
  for (const date of ['2018-03-05', '2018-03-06', '2018-03-07', plan.birthDate]) await state(otherLa, plan, date);
  t.strictSame(await eventsOf(la, mine), ['details-differ', 'details-tried']);
  t.ok(await listed(plan.nhsNumber), 'an operator has to look at it');
});

t.test('the events belong to the topic of the life cycle of a plan', async (t) => {
  const [topic] = [...subscriptionTopics.keys()].filter((url) => url.endsWith('plan-life-cycle'));
  t.ok(topic);
  const plan = freshPlan();
  await submit(la, plan);
  await otherLa.request('POST', 'Patient', buildPatient({ ...plan, birthDate: '2018-03-04' }));
  const flag = await otherLa.request('POST', 'Flag', buildFlag(lac(plan)));
  t.equal(flag.status, 201, 'one request after the other');
  t.ok(await listed(plan.nhsNumber));
});
