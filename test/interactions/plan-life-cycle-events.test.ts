/** The daily sweep in a running server: what it writes, and of what the authority that holds the plan is notified. */
import type { AuditEvent, Bundle, Flag, OperationOutcome, Subscription } from 'fhir/r4.js';
import t from 'tap';
import { addDays, addMonths, londonDate } from '../../src/cpis/london-date.ts';
import { backport } from '../../src/fhir/subscription/backport.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient } from '../../src/synthetic/synthetic-plan.ts';
import { openReceiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { freshPlan, idIn, kindOf, resourcesOf, submit } from '../support/submissions.ts';
import { openTravelClock } from '../support/travel-clock.ts';
import { waitUntil } from '../support/wait-until.ts';

const receiver = await openReceiver();
t.teardown(() => receiver.close());
/** A day in summer time, when the day begins at 23:00 UTC. */
const firstDay = '2027-06-10';
const clock = openTravelClock(Date.parse(`${firstDay}T09:00:00Z`));
const world = await openWorld(t, {
  clock,
  subscriptionOrigins: [receiver.origin, receiver.origin],
  settings: { CPIS_METRICS_TOKEN: 'a-metrics-token-of-length' },
});
const { la, otherLa, epr } = world;
const topic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/plan-life-cycle';

/** Moves to just after the beginning of a day, and waits until the sweep of that day has ended. */
async function travelTo(date: string): Promise<void> {
  clock.travelTo(Date.parse(`${addDays(date, -1)}T23:00:01Z`));
  await waitUntil(
    'the sweep',
    async () => londonDate(Number(await metric('cpis_plan_sweep_timestamp_seconds')) * 1000) >= date,
  );
}

async function metric(name: string): Promise<string | undefined> {
  const headers = { authorization: 'Bearer a-metrics-token-of-length' };
  const text = await (await fetch(`${world.server.origin}/metrics`, { headers })).text();
  return text
    .split('\n')
    .find((line) => line.startsWith(`${name} `))
    ?.slice(name.length + 1);
}

async function subscribe(client: FhirClient, over: object, path: string): Promise<void> {
  const { status, headers, body } = await client.request('POST', 'Subscription', {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'The life cycle of our plans',
    channel: { type: 'rest-hook', endpoint: `${receiver.origin}/${path}`, payload: 'application/fhir+json' },
    ...over,
  });
  if (status !== 201) throw new Error(JSON.stringify(body));
  await waitUntil('the Subscription is active', async () => {
    const read = await client.request<Subscription>('GET', `Subscription/${idIn(headers.get('location'))}`);
    return read.body.status === 'active';
  });
}

const byTopic = {
  criteria: topic,
  channel: {
    type: 'rest-hook',
    endpoint: `${receiver.origin}/topic`,
    payload: 'application/fhir+json',
    _payload: { extension: [{ url: backport.payloadContent, valueCode: 'full-resource' }] },
  },
};
await subscribe(la, byTopic, 'topic');
await subscribe(la, { criteria: 'AuditEvent?type=plan-life-cycle&subtype=ended,no-longer-shown' }, 'plain');
await subscribe(la, { criteria: 'AuditEvent?action=E,R' }, 'accesses');
await subscribe(otherLa, { criteria: 'AuditEvent?' }, 'other');

/** The AuditEvents that arrived at a path of the receiver, each once: a leap of the clock ends leases, so that one may come twice. */
const arrivedAt = (path: string): AuditEvent[] => {
  const events = receiver.received
    .filter((request) => request.path.startsWith(`/${path}`))
    .map(({ body }) => JSON.parse(body) as AuditEvent | Bundle)
    .flatMap((body) => (body.resourceType === 'Bundle' ? (body.entry ?? []).map(({ resource }) => resource) : [body]))
    .filter((resource): resource is AuditEvent => resource?.resourceType === 'AuditEvent');
  return [...new Map(events.map((event) => [event.id, event])).values()];
};
const outline = ({ subtype, entity }: AuditEvent): string =>
  `${subtype?.[0]?.code} ${entity?.[0]?.what?.reference} ${entity?.[0]?.detail?.[0]?.valueString}`;
/** The events of a plan that arrived at the topic-based Subscription, in order. */
const notifiedOf = (id: string): string[] =>
  arrivedAt('topic')
    .map(outline)
    .filter((line) => line.includes(`Flag/${id} `))
    .map((line) => line.replace(` Flag/${id}`, ''));
async function seen(nhsNumber: string): Promise<Flag[]> {
  const found = await epr.request<Bundle>('GET', `Flag?patient=${nhsNumber}`);
  return resourcesOf<Flag>(found).filter(({ resourceType }) => resourceType === 'Flag');
}
const read = async (id: string): Promise<Flag> => (await la.request<Flag>('GET', `Flag/${id}`)).body;

const birthday = '2027-07-20';
const birthDate = addMonths(birthday, -18 * 12);
const child = freshPlan({ birthDate, kind: kindOf('LAC'), start: '2026-01-10' });
const mother = { birthDate: '2009-07-01', kind: kindOf('UCPP'), start: '2027-03-01' };
const twin = freshPlan({ ...mother, dueDate: '2027-07-15' });
const undated = freshPlan({ ...mother, start: '2026-10-01' });
const quiet = freshPlan();
const [childId = '', twinId = '', otherTwinId = '', undatedId = '', quietId = ''] = [
  ...(await submit(la, child, twin, { ...freshPlan(twin), nhsNumber: twin.nhsNumber, reference: 'other-twin' })),
  ...(await submit(la, undated, quiet)),
];
// The same child has a plan of another authority, which is not notified of that of the first.
await submit(otherLa, { ...freshPlan(child), nhsNumber: child.nhsNumber, kind: kindOf('CPP') });

t.test('30 days before the 18th birthday, and 28 before the birth', async (t) => {
  await travelTo(addDays(birthday, -31));
  t.strictSame(notifiedOf(childId), []);
  await travelTo(addDays(birthday, -30));
  await waitUntil('the notification', () => notifiedOf(childId).length + notifiedOf(twinId).length === 2);
  t.strictSame(notifiedOf(childId), [`ends-soon ${addDays(birthday, -1)}`]);
  t.strictSame(notifiedOf(twinId), ['birth-due 2027-07-15']);
  t.strictSame(notifiedOf(otherTwinId), ['birth-due 2027-07-15'], 'twins are two plans');
  await travelTo(addDays(birthday, -20));
  t.equal(notifiedOf(childId).length + notifiedOf(twinId).length, 2, 'once');
  t.match(await read(childId), { status: 'active', meta: { versionId: '1' } }, 'a notification is no new version');
});

t.test('on the birthday the plan has ended, and its authority alone is notified', async (t) => {
  await travelTo(birthday);
  await waitUntil('the notification', () => notifiedOf(childId).length === 2 && arrivedAt('plain').length > 0);
  const end = addDays(birthday, -1);
  t.strictSame(notifiedOf(childId)[1], `ended ${end}`);
  t.match(arrivedAt('plain').map(outline), [`ended Flag/${childId} ${end}`], 'a plain R4 Subscription too');
  t.match(await read(childId), {
    status: 'inactive',
    period: { end },
    meta: { versionId: '2' },
    identifier: [{ value: child.reference }],
  });
  t.match(
    (await seen(child.nhsNumber)).map(({ status, period }) => [status, period?.end]),
    [
      ['inactive', end],
      ['inactive', end],
    ],
  );
  const [event] = arrivedAt('plain');
  t.match(event, {
    type: { code: 'plan-life-cycle' },
    action: 'U',
    agent: [
      { requestor: true, who: { display: 'cpis-fhir' } },
      {},
      { who: { reference: `Organization/${world.ownId}` } },
    ],
  });
  t.notMatch(JSON.stringify(event), child.nhsNumber, 'nothing of the child');
  t.equal(event?.entity?.length, 1);
  const history = await epr.request<Bundle>('GET', `AuditEvent?patient=${child.nhsNumber}&_count=100`);
  const types = resourcesOf<AuditEvent>(history).map(({ type }) => type?.code);
  t.ok(types.length > 0 && !types.includes('plan-life-cycle'), 'it is not in the access history');
  const own = await la.request<Bundle>('GET', `AuditEvent?type=plan-life-cycle&entity=Flag/${childId}`);
  t.equal(own.body.total, 2);
  const others = await otherLa.request<Bundle>('GET', 'AuditEvent?type=plan-life-cycle&_count=100');
  t.ok(resourcesOf<AuditEvent>(others).every(({ entity }) => entity?.[0]?.what?.reference !== `Flag/${childId}`));
  const versions = await la.request<Bundle>('GET', `Flag/${childId}/_history`);
  t.equal(versions.body.total, 2);
});

t.test('an ended plan is not opened again, and is amended with an earlier end', async (t) => {
  const opened = await la.request<OperationOutcome>('PUT', `Flag/${childId}`, { ...buildFlag(child), id: childId });
  t.match(opened, {
    status: 422,
    body: { issue: [{ diagnostics: /now 18 or older, so this plan has ended by age/ }] },
  });
  const again = freshPlan({ birthDate, start: '2026-01-10' });
  await la.request('POST', 'Patient', buildPatient(again));
  t.equal((await la.request('POST', 'Flag', buildFlag(again))).status, 422, 'nor is a new one taken as open');
  t.equal((await la.request('POST', 'Flag', buildFlag({ ...again, end: addDays(birthday, -1) }))).status, 201);
  await submit(la, { ...child, end: addDays(birthday, -9) });
  t.match(await read(childId), { status: 'inactive', period: { end: addDays(birthday, -9) } });
  await travelTo(addDays(birthday, 1));
  t.equal(notifiedOf(childId).length, 2);
});

t.test('without a due date: an alarm after 300 days, then no longer shown', async (t) => {
  const lastDay = addDays(undated.start, 308);
  await travelTo(addDays(undated.start, 299));
  t.strictSame(notifiedOf(undatedId), []);
  await travelTo(addDays(undated.start, 300));
  await travelTo(addDays(lastDay, 1));
  await waitUntil('the notifications', () => notifiedOf(undatedId).length === 2);
  t.strictSame(notifiedOf(undatedId), [`due-date-missing ${lastDay}`, `no-longer-shown ${lastDay}`]);
  t.match(world.log(), new RegExp(`plan-without-due-date.*${undatedId}`));
  t.notMatch(world.log(), undated.nhsNumber);
});

t.test('an unborn child’s plan is no longer shown, and is ended once', async (t) => {
  const lastDay = addDays('2027-07-15', 28);
  await travelTo(lastDay);
  t.equal((await seen(twin.nhsNumber)).length, 2, 'the mother turned 18 meanwhile');
  await travelTo(addDays(lastDay, 1));
  await waitUntil('the notification', () => notifiedOf(twinId).length === 2 && notifiedOf(otherTwinId).length === 2);
  t.strictSame(notifiedOf(twinId)[1], `no-longer-shown ${lastDay}`);
  t.match(await read(twinId), { status: 'inactive', period: { end: lastDay } });
  t.strictSame(await seen(twin.nhsNumber), [], 'it is not shown as ended');
  const opened = await la.request<OperationOutcome>('PUT', `Flag/${twinId}`, { ...buildFlag(twin), id: twinId });
  t.match(opened, { status: 200, body: { issue: [{ severity: 'warning', diagnostics: /NHS staff do not see/ }] } });
  await travelTo(addDays(lastDay, 3));
  t.match(await read(twinId), { status: 'active', meta: { versionId: '3' } });
  t.strictSame(await seen(twin.nhsNumber), []);
  t.equal(notifiedOf(twinId).length, 2);
});

t.test('a plan that is not confirmed: once a week, until it is submitted again', async (t) => {
  const count = `cpis_plans_unconfirmed{authority="${world.ownId}"}`;
  await travelTo(addDays(firstDay, 89));
  t.strictSame(notifiedOf(quietId), []);
  t.equal(await metric(count), '0');
  await travelTo(addDays(firstDay, 90));
  await travelTo(addDays(firstDay, 96));
  t.equal(await metric(count), '1');
  await travelTo(addDays(firstDay, 97));
  await waitUntil('the notifications', () => notifiedOf(quietId).length === 2);
  t.strictSame(notifiedOf(quietId), [`unconfirmed ${firstDay}`, `unconfirmed ${firstDay}`]);
  await submit(la, quiet);
  t.match(await read(quietId), { meta: { versionId: '1' } }, 'a confirmation is no new version');
  t.equal(await metric(count), '0', 'at once');
  const day = Date.parse(addDays(firstDay, 97)) / 1000;
  t.equal(await metric(`cpis_authority_last_submission_timestamp_seconds{authority="${world.ownId}"}`), String(day));
  await travelTo(addDays(firstDay, 110));
  t.equal(notifiedOf(quietId).length, 2);
});

t.test('nothing of it reached a Subscription for accesses or another authority', async (t) => {
  t.ok(arrivedAt('accesses').every(({ type }) => type.code === 'rest'));
  const own = [childId, twinId, otherTwinId, undatedId, quietId].map((id) => `Flag/${id}`);
  const theirs = arrivedAt('other').filter(({ type }) => type.code === 'plan-life-cycle');
  t.ok(theirs.length > 0, 'they are notified of their own plans');
  t.ok(theirs.every(({ entity }) => !own.includes(entity?.[0]?.what?.reference ?? '')));
});
