/** https://hl7.org/fhir/R4/subscription.html */

import t from 'tap';
import { openReceiver } from '../../support/receiver.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { conforms, openConformanceWorld } from '../conformance.ts';

const spec = 'https://hl7.org/fhir/R4/subscription.html';
const receiver = await openReceiver();
t.teardown(() => receiver.close());
const world = await openConformanceWorld({ subscriptionOrigins: [receiver.origin] });
const { la, asLa, asOtherLa, asEpr } = world;

const subscription = (more: object = {}) => ({
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'Access to the records of children with a plan',
  criteria: 'AuditEvent?action=E',
  channel: {
    type: 'rest-hook',
    endpoint: `${receiver.origin}/notify`,
    payload: 'application/fhir+json',
    header: ['Authorization: Bearer canary-of-the-endpoint'],
  },
  ...more,
});

const becomesActive = (id: string): Promise<void> =>
  waitUntil('the Subscription is active', async () => {
    return (await asLa('GET', `Subscription/${id}`)).json.status === 'active';
  });

conforms(spec, 'requested becomes active; its headers are never shown; off stops it; delete ends it', async (t) => {
  const created = await asLa('POST', 'Subscription', { body: subscription() });
  t.equal(created.status, 201);
  t.notMatch(created.text, 'canary-of-the-endpoint');
  const { id } = created.json;
  await becomesActive(id);
  t.equal((await asOtherLa('GET', `Subscription/${id}`)).status, 404);
  t.equal((await asEpr('GET', `Subscription/${id}`)).status, 403);
  const off = await asLa('PUT', `Subscription/${id}`, { body: subscription({ id, status: 'off' }) });
  t.match(off, { status: 200, json: { status: 'off' } });
  t.equal((await asLa('DELETE', `Subscription/${id}`)).status, 204);
  t.equal((await asLa('GET', `Subscription/${id}`)).status, 410);
});

conforms(spec, 'an event that the criteria take is sent to the endpoint, with payload and headers', async (t) => {
  const { json } = await asLa('POST', 'Subscription', { body: subscription() });
  await becomesActive(json.id);
  const plan = freshPlan();
  await submit(la, plan);
  const seen = receiver.received.length;
  await asEpr('GET', `Flag?patient=${plan.nhsNumber}`);
  const sentSince = () => receiver.received.slice(seen).some(({ body }) => body.includes(plan.nhsNumber));
  await waitUntil('the event is sent', sentSince);
  const sent = receiver.received.find(({ body }) => body.includes(plan.nhsNumber));
  t.match(sent?.headers, {
    authorization: 'Bearer canary-of-the-endpoint',
    'content-type': /^application\/fhir\+json/,
  });
  t.match(JSON.parse(sent?.body ?? '{}'), { resourceType: 'AuditEvent', action: 'E' });
});

conforms(
  spec,
  'what cannot be served is refused: criteria of other types, unknown channels and endpoints',
  async (t) => {
    const { channel } = subscription();
    for (const more of [
      { criteria: 'Flag?status=active' },
      { criteria: 'AuditEvent?nothing=1' },
      { channel: { ...channel, type: 'email' } },
      { channel: { ...channel, endpoint: 'https://elsewhere.example/notify' } },
      { channel: { ...channel, payload: 'application/fhir+xml' } },
      { status: 'bad' },
    ]) {
      t.match(await asLa('POST', 'Subscription', { body: subscription(more) }), {
        status: 422,
        json: { resourceType: 'OperationOutcome' },
      });
    }
  },
);
