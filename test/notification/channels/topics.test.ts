import type { Bundle, Parameters } from 'fhir/r4.js';
import t from 'tap';
import { backport } from '../../../src/fhir/subscription/backport.ts';
import { leeds } from '../../support/authorities.ts';
import { manualClock } from '../../support/manual-clock.ts';
import type { Receiver } from '../../support/receiver.ts';
import { receiver } from '../../support/test-receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { openDeliveryWorld, world } from '../delivery-world.ts';

const accessTopic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/access-to-record';
const planTopic = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic/plan-by-another-authority';

interface TopicOptions {
  readonly content?: string;
  readonly topic?: string;
  readonly filters?: readonly string[];
  readonly channel?: readonly { readonly url: string; readonly [value: string]: unknown }[];
}

function topical(endpoint: string, { content = 'id-only', topic = accessTopic, filters, channel }: TopicOptions = {}) {
  const filtered = filters?.map((valueString) => ({ url: backport.filterCriteria, valueString }));
  return {
    criteria: topic,
    ...(filtered === undefined ? {} : { _criteria: { extension: filtered } }),
    channel: {
      type: 'rest-hook',
      endpoint,
      payload: 'application/fhir+json',
      _payload: { extension: [{ url: backport.payloadContent, valueCode: content }] },
      ...(channel === undefined ? {} : { extension: channel }),
    },
  };
}

interface Received {
  readonly type: string | undefined;
  readonly status: string | undefined;
  readonly last: string | undefined;
  readonly numbers: number[];
  readonly focuses: string[];
  readonly bundle: Bundle;
}

function readNotification({ body }: { readonly body: string }): Received {
  const bundle: Bundle = JSON.parse(body);
  const status = bundle.entry?.[0]?.resource as Parameters;
  const events = (status.parameter ?? []).filter(({ name }) => name === 'notification-event');
  const partOf = (name: string) => events.flatMap(({ part = [] }) => part.filter((each) => each.name === name));
  const parameter = (name: string) => status.parameter?.find((each) => each.name === name);
  return {
    bundle,
    type: parameter('type')?.valueCode,
    status: parameter('status')?.valueCode,
    last: parameter('events-since-subscription-start')?.valueString,
    numbers: partOf('event-number').map(({ valueString }) => Number(valueString)),
    focuses: partOf('focus').map(({ valueReference }) => valueReference?.reference?.split('/').at(-1) ?? ''),
  };
}

const eventsOf = (endpoint: Receiver, path?: string): Received[] =>
  endpoint.received
    .filter((each) => path === undefined || each.path === path)
    .map(readNotification)
    .filter(({ type }) => type === 'event-notification');
/** Resolves when `count` different events have arrived, on `path` if it is given. */
async function endpointHas(endpoint: Receiver, count: number, path?: string): Promise<void> {
  const arrived = (): number => new Set(eventsOf(endpoint, path).flatMap(({ numbers }) => numbers)).size;
  await waitUntil(`${count} events at the endpoint`, () => arrived() >= count);
}

const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);

t.test('a handshake, then each event once, numbered and in order, in Bundles of up to maxCount', async (t) => {
  const endpoint = await receiver(t);
  const { subscribe, owe, statusOf, errors } = await world(t);
  const maxCount = { url: backport.maxCount, valuePositiveInt: 3 };
  const url = `${endpoint.origin}/topics`;
  const id = await subscribe(leeds, url, topical(url, { channel: [maxCount] }));
  t.match(await statusOf(id), { status: 'active', version: 2 });
  const [handshake] = endpoint.received.map(readNotification);
  t.match(handshake, { type: 'handshake', status: 'requested', last: '0', numbers: [] });
  t.match(handshake?.bundle, {
    type: 'history',
    meta: { profile: [backport.notification] },
    entry: [
      {
        resource: { resourceType: 'Parameters', meta: { profile: [backport.status] } },
        request: { method: 'GET', url: `Subscription/${id}/$status` },
        response: { status: '200' },
      },
    ],
  });
  t.match(endpoint.received[0], {
    method: 'POST',
    path: '/topics',
    headers: { 'content-type': 'application/fhir+json' },
  });

  const ids = await owe(leeds, 20);
  await owe(leeds, 2, 'C');
  await endpointHas(endpoint, 20);
  const bundles = eventsOf(endpoint);
  t.same(
    bundles.flatMap(({ numbers }) => numbers),
    upTo(20),
    'in order, without a gap',
  );
  t.same(
    bundles.flatMap(({ focuses }) => focuses),
    ids,
  );
  t.ok(bundles.every(({ numbers }) => numbers.length <= 3));
  t.ok(
    bundles.some(({ numbers }) => numbers.length > 1),
    'what waits goes together',
  );
  for (const { bundle, last, numbers } of bundles) {
    t.ok(Number(last) >= (numbers.at(-1) ?? 0));
    t.equal(bundle.entry?.length, numbers.length + 1);
    for (const entry of bundle.entry?.slice(1) ?? []) {
      t.match(entry, { fullUrl: /\/AuditEvent\//, request: { method: 'GET' }, response: { status: '200' } });
      t.notOk(entry.resource, 'id-only');
    }
  }
  await subscribe(leeds, `${endpoint.origin}/plans`, topical(`${endpoint.origin}/plans`, { topic: planTopic }));
  await endpointHas(endpoint, 2, '/plans');
  const plans = eventsOf(endpoint, '/plans').flatMap(({ numbers }) => numbers);
  t.same(plans, [1, 2], 'a Subscription to another topic counts its own, and gets what waited for it');
  t.same(errors, []);
});

t.test('empty sends the number only, full-resource the AuditEvent; all filters must match', async (t) => {
  const [empty, full] = [await receiver(t), await receiver(t)];
  const { subscribe, owe, drained } = await world(t);
  await subscribe(leeds, empty.origin, topical(`${empty.origin}/e`, { content: 'empty' }));
  const filters = ['AuditEvent?action=E', `agent=Organization/${leeds}`];
  await subscribe(leeds, full.origin, topical(`${full.origin}/f`, { content: 'full-resource', filters }));
  const [searched] = await owe(leeds, 1);
  await owe(leeds, 1, 'R');
  await drained(leeds);
  t.same(
    eventsOf(empty).flatMap(({ numbers }) => numbers),
    [1, 2],
  );
  for (const { bundle, focuses } of eventsOf(empty)) {
    t.equal(bundle.entry?.length, 1);
    t.same(focuses, []);
    t.notMatch(JSON.stringify(bundle), /AuditEvent|SubscriptionTopic/);
  }
  t.same(
    eventsOf(full).map(({ focuses }) => focuses),
    [[searched]],
    'a read does not meet the filter',
  );
  t.match(eventsOf(full)[0]?.bundle.entry?.[1], {
    resource: { resourceType: 'AuditEvent', id: searched },
    fullUrl: new RegExp(`/AuditEvent/${searched}$`),
  });
});

t.test('case 31: a failed handshake is shown in the Subscription, and repeated before the first event', async (t) => {
  const [endpoint, elsewhere] = [await receiver(t), await receiver(t)];
  for (const [error, behaviour] of [
    ['handshake-status-503', { kind: 'answer', status: 503 }],
    ['handshake-status-307', { kind: 'redirect', status: 307, location: elsewhere.origin }],
  ] as const) {
    const path = `/${error}`;
    endpoint.behave(behaviour);
    const clock = manualClock(Date.parse('2026-11-20T09:00:00Z'));
    const { subscribe, owe, statusOf, pass, backlogOf } = await world(t, { clock });
    const heartbeat = { url: backport.heartbeatPeriod, valueUnsignedInt: 60 };
    const url = `${endpoint.origin}${path}`;
    const id = await subscribe(leeds, endpoint.origin, topical(url, { channel: [heartbeat] }));
    t.match(await statusOf(id), { status: 'error', error });
    await owe(leeds, 2);
    await pass(clock, 10 * 60_000);
    const at = () => endpoint.received.filter((each) => each.path === path).map(readNotification);
    t.ok(at().length > 2, 'it is tried again');
    t.same([...new Set(at().map(({ type }) => type))], ['handshake'], 'nothing else goes to an endpoint like that');
    t.match(await backlogOf(leeds), { undelivered: 2 }, 'its events are kept');
    endpoint.behave({ kind: 'answer', status: 200 });
    await pass(clock, 20 * 60_000);
    t.match(await backlogOf(leeds), { undelivered: 0 });
    const types = at().map(({ type }) => type);
    t.equal(types[types.indexOf('event-notification') - 1], 'handshake');
    t.match(await statusOf(id), { status: 'active' });
    t.same(new Set(eventsOf(endpoint, path).flatMap(({ numbers }) => numbers)), new Set([1, 2]));
    t.ok(types.includes('heartbeat'), 'and heartbeats, now that it has accepted a handshake');
  }
  t.same(elsewhere.received, []);
});

t.test('a refused event does not block the others, and keeps its number', async (t) => {
  const endpoint = await receiver(t);
  const clock = manualClock(Date.parse('2026-11-20T09:00:00Z'));
  const { subscribe, owe, pass, backlogOf } = await world(t, { clock });
  await subscribe(leeds, endpoint.origin, topical(`${endpoint.origin}/p`));
  let poison: string | undefined = 'none yet';
  endpoint.behave(({ body }) => ({ kind: 'answer', status: body.includes(String(poison)) ? 422 : 200 }));
  const ids = await owe(leeds, 6);
  poison = ids[2];
  await pass(clock, 2 * 60_000);
  t.match(await backlogOf(leeds), { undelivered: 1, delivered: 5 });
  poison = 'none any more';
  await pass(clock, 2 * 60 * 60_000);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 6 });
  const numberOf = new Map<string, Set<number>>();
  for (const { focuses, numbers } of eventsOf(endpoint)) {
    for (const [index, focus] of focuses.entries()) {
      numberOf.set(focus, (numberOf.get(focus) ?? new Set()).add(numbers[index] ?? 0));
    }
  }
  t.same(
    ids.map((event) => [...(numberOf.get(event) ?? [])]),
    upTo(6).map((number) => [number]),
    'every attempt has the same number',
  );
});

t.test('events are numbered while the endpoint is down, and across a restart', async (t) => {
  const endpoint = await receiver(t);
  const first = await openDeliveryWorld();
  const url = `${endpoint.origin}/d`;
  const id = await first.subscribe(leeds, url, topical(url));
  endpoint.behave({ kind: 'reset' });
  await first.owe(leeds, 30);
  await first.topics.numbers.allNumbered(leeds);
  t.equal(await first.store.subscriptionEvents.last(id), 30);
  const before = await first.store.subscriptionEvents.range(id, 1, 99, 99);
  await first.stop();

  const second = await openDeliveryWorld({ folder: first.folder, origins: [endpoint.origin] });
  t.teardown(async () => {
    await second.stop();
    second.remove();
  });
  await second.owe(leeds, 5);
  const failed = eventsOf(endpoint).length;
  endpoint.behave({ kind: 'answer', status: 200 });
  await second.subscriptions.changed(leeds);
  await second.drained(leeds);
  t.same((await second.store.subscriptionEvents.range(id, 1, 99, 99)).slice(0, 30), before, 'numbers stay');
  const arrived = eventsOf(endpoint).slice(failed);
  t.same(
    [...new Set(arrived.flatMap(({ numbers }) => numbers))].sort((a, b) => a - b),
    upTo(35),
  );
});

t.test(
  'a heartbeat is sent if nothing else was sent for its period; none is sent when the Subscription is off',
  async (t) => {
    const endpoint = await receiver(t);
    const clock = manualClock(Date.parse('2026-11-20T09:00:00Z'));
    const { subscribe, update, owe, pass, subscriptions } = await world(t, { clock });
    const heartbeat = { url: backport.heartbeatPeriod, valueUnsignedInt: 60 };
    const id = await subscribe(leeds, endpoint.origin, topical(`${endpoint.origin}/b`, { channel: [heartbeat] }));
    const types = () => endpoint.received.map((each) => readNotification(each).type);
    await pass(clock, 59_000);
    t.same(types(), ['handshake']);
    await pass(clock, 2_000);
    t.same(types(), ['handshake', 'heartbeat']);
    await pass(clock, 30_000);
    await owe(leeds, 1);
    await pass(clock, 45_000);
    t.same(types(), ['handshake', 'heartbeat', 'event-notification'], 'an event counts as a sign of life');
    await pass(clock, 16_000);
    t.same(types().slice(3), ['heartbeat']);
    t.match(endpoint.received.map(readNotification).at(-1), { last: '1', numbers: [], status: 'active' });
    await update(id, { status: 'off' });
    await subscriptions.changed(leeds);
    await pass(clock, 10 * 60_000);
    t.equal(endpoint.received.length, 4);
  },
);

t.test('the timeout of the Subscription ends an attempt', async (t) => {
  const endpoint = await receiver(t);
  endpoint.behave({ kind: 'hang' });
  const { subscribe, statusOf } = await world(t, { deadlineMs: 60_000 });
  const timeout = { url: backport.timeout, valueUnsignedInt: 1 };
  const id = await subscribe(leeds, endpoint.origin, topical(`${endpoint.origin}/t`, { channel: [timeout] }));
  t.match(await statusOf(id), { status: 'error', error: 'handshake-timeout' });
});
