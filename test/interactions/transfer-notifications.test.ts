/** Undelivered notifications of an authority pass to its successor with the plans: none is lost, none goes elsewhere. */

import type { AuditEvent, Bundle, Parameters } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import type { SyntheticPlan } from '../../src/synthetic/synthetic-plan.ts';
import { openReceiver, type Receiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, submit } from '../support/submissions.ts';
import { endTerm, subscribe, transferPlans } from '../support/transfers.ts';
import { waitUntil } from '../support/wait-until.ts';

const topic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record';

async function openScene(test: Test, fail?: { handOver: boolean }) {
  const [old, next, third] = await Promise.all([openReceiver(), openReceiver(), openReceiver()]);
  for (const endpoint of [old, next, third]) test.teardown(() => endpoint.close());
  const world = await openWorld(test, {
    subscriptionOrigins: [old.origin, next.origin, third.origin],
    aroundStore: (store) => {
      if (fail === undefined) return store;
      const handOver: typeof store.deliveries.handOver = (...args) =>
        fail.handOver ? Promise.reject(new Error('killed')) : store.deliveries.handOver(...args);
      return {
        ...store,
        deliveries: { ...store.deliveries, handOver },
        get ready() {
          return store.ready;
        },
      };
    },
  });
  const { la, otherLa, thirdLa, ownId, otherId } = world;
  const payload = 'application/fhir+json';
  const hook = (endpoint: Receiver) => ({ type: 'rest-hook' as const, endpoint: `${endpoint.origin}/hook`, payload });
  await subscribe(la, { criteria: `AuditEvent?agent=Organization/${ownId}`, channel: hook(old) });
  await subscribe(otherLa, { criteria: `AuditEvent?agent=Organization/${otherId}`, channel: hook(next) });
  await subscribe(thirdLa, { channel: hook(third) });
  const lookUp = async ({ nhsNumber }: SyntheticPlan): Promise<void> => {
    const { status } = await world.epr.request('GET', `Flag?patient=${nhsNumber}`);
    if (status !== 200) throw new Error(`the look-up was answered ${status}`);
  };
  const owed = async (authority: string): Promise<number> => {
    const { body } = await world.operator.request<Parameters>('POST', `Organization/${authority}/$replay-deliveries`);
    return body.parameter?.find(({ name }) => name === 'undelivered')?.valueInteger ?? 0;
  };
  return { world, old, next, third, lookUp, owed };
}

/** Returns the events that an endpoint was sent, by id, since the request with this index. */
function eventsAt(endpoint: Receiver, since = 0): Map<string, AuditEvent> {
  const events = new Map<string, AuditEvent>();
  for (const { body } of endpoint.received.slice(since)) {
    const sent = JSON.parse(body) as AuditEvent | Bundle;
    const found = sent.resourceType === 'Bundle' ? (sent.entry ?? []).map(({ resource }) => resource) : [sent];
    for (const resource of found)
      if (resource?.resourceType === 'AuditEvent') events.set(resource.id ?? '', resource as AuditEvent);
  }
  return events;
}
const isLookUp = ({ action }: AuditEvent): boolean => action === 'E';
const patientOf = ({ entity = [] }: AuditEvent): string | undefined =>
  entity.map(({ what }) => what?.reference).find((reference) => reference?.startsWith('Patient/'));

t.test(
  'case 33: what the predecessor was not sent reaches the successor, and both are notified of each plan',
  async (t) => {
    const { world, old, next, third, lookUp, owed } = await openScene(t);
    const { la, ownId, otherId, operator } = world;
    const [passing, staying] = [freshPlan(), freshPlan()];
    await submit(la, passing, staying);
    old.behave({ kind: 'answer', status: 503 });
    for (let n = 0; n < 3; n += 1) await lookUp(passing);
    await lookUp(staying);
    await waitUntil('the endpoint was tried', () => old.received.length > 0);
    await endTerm(world, ownId, otherId);
    const counts = await transferPlans(operator, ownId, otherId, { numbers: [passing.nhsNumber] });
    t.match(counts, { transferred: 1, notifications: 3 });
    await lookUp(passing);
    await waitUntil('the successor has them', () => eventsAt(next).size >= 5);
    const sent = [...eventsAt(next).values()];
    t.equal(sent.filter(isLookUp).length, 4, 'three of before, one of after');
    t.equal(sent.filter(({ action }) => action === 'U').length, 1, 'and the transfer');
    t.ok(sent.filter(isLookUp).every((event) => patientOf(event) === `Patient/${passing.nhsNumber}`));
    const since = old.received.length;
    old.behave({ kind: 'answer', status: 200 });
    await owed(ownId);
    await waitUntil('the predecessor is owed nothing', async () => (await owed(ownId)) === 0);
    const late = [...eventsAt(old, since).values()];
    t.equal(late.filter(isLookUp).length, 1, 'the look-up of the plan that stays');
    t.equal(late.filter(({ action }) => action === 'U').length, 1, 'and the transfer');
    t.equal(late.length, 2);
    t.strictSame(late.filter(isLookUp).map(patientOf), [`Patient/${staying.nhsNumber}`]);
    t.equal(eventsAt(third).size, 0, 'no other authority is told');
    t.equal(await owed(otherId), 0);
  },
);

t.test('events are numbered for the successor, and $events has them', async (t) => {
  const { world, old, next, lookUp } = await openScene(t);
  const { la, otherLa, ownId, otherId, operator } = world;
  const plan = freshPlan();
  await submit(la, plan);
  const id = await subscribe(otherLa, {
    criteria: topic,
    channel: {
      type: 'rest-hook',
      endpoint: `${next.origin}/topic`,
      payload: 'application/fhir+json',
      _payload: {
        extension: [
          {
            url: 'http://hl7.org/fhir/uv/subscriptions-backport/StructureDefinition/backport-payload-content',
            valueCode: 'full-resource',
          },
        ],
      },
    },
  });
  old.behave({ kind: 'answer', status: 503 });
  for (let n = 0; n < 3; n += 1) await lookUp(plan);
  await waitUntil('the endpoint was tried', () => old.received.length > 0);
  await endTerm(world, ownId, otherId);
  await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] });
  const readEvents = () => otherLa.request<Bundle>('GET', `Subscription/${id}/$events?content=full-resource`);
  await waitUntil('all are numbered', async () => {
    const { body } = await readEvents();
    return (body.entry ?? []).filter(({ resource }) => resource?.resourceType === 'AuditEvent').length === 3;
  });
  const { body } = await readEvents();
  const status = JSON.stringify(body.entry?.[0]?.resource);
  for (const number of ['1', '2', '3'])
    t.ok(status.includes(`"name":"event-number","valueString":"${number}"`), number);
});

t.test('a predecessor without a Subscription is owed nothing for what its successor knows', async (t) => {
  const { world, next, lookUp, owed } = await openScene(t);
  const { thirdLa, operator, otherId, registry } = world;
  const thirdId = registry.authorities[2]?.organisationId ?? '';
  const { body } = await thirdLa.request<Bundle>('GET', 'Subscription');
  const plan = freshPlan();
  await submit(thirdLa, plan);
  await submit(world.otherLa, { ...plan, kind: { code: '764841000000100', display: 'Looked after child' } });
  for (const { resource } of body.entry ?? []) await thirdLa.request('DELETE', `Subscription/${resource?.id}`);
  await lookUp(plan);
  await endTerm(world, thirdId, otherId);
  t.match(await transferPlans(operator, thirdId, otherId), { transferred: 1, notifications: 0 });
  await waitUntil('the successor has its own', () => [...eventsAt(next).values()].filter(isLookUp).length === 1);
  t.equal(await owed(thirdId), 0, 'its copies have ended');
});

t.test('a hand-over that was cut off is repeated', async (t) => {
  const fail = { handOver: true };
  const { world, old, next, lookUp } = await openScene(t, fail);
  const { la, ownId, otherId, operator } = world;
  const plan = freshPlan();
  await submit(la, plan);
  old.behave({ kind: 'answer', status: 503 });
  await lookUp(plan);
  await waitUntil('the endpoint was tried', () => old.received.length > 0);
  await endTerm(world, ownId, otherId);
  await t.rejects(transferPlans(operator, ownId, otherId), /500/);
  t.equal([...eventsAt(next).values()].filter(isLookUp).length, 0);
  fail.handOver = false;
  t.match(await transferPlans(operator, ownId, otherId), { plans: 0 }, 'its plans have passed');
  t.match(await transferPlans(operator, ownId, otherId, { numbers: [plan.nhsNumber] }), { notifications: 1 });
  await waitUntil('the successor has it', () => [...eventsAt(next).values()].filter(isLookUp).length === 1);
});
