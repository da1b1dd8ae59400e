/**
 * Faults of delivery, one test for each case of docs/faults.md: hours in virtual time, crashes with real processes.
 * Signatures (30) are in test/notification/outbound-http, TLS (20) in sender.test.ts there, handshakes (31) in the
 * tests of topic-based Subscriptions.
 */
import { gzipSync } from 'node:zlib';
import { Registry } from 'prom-client';
import t, { type Test } from 'tap';
import { startDeliveryMonitor } from '../../src/notification/alarms/delivery-monitor.ts';
import type { DeliveryQueue } from '../../src/store/store.ts';
import { type DeliveryWorld, world } from '../notification/delivery-world.ts';
import { kent, leeds } from '../support/authorities.ts';
import { type ManualClock, manualClock } from '../support/manual-clock.ts';
import { openReceiver, type Receiver } from '../support/receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const startMs = Date.parse('2026-11-20T09:00:00Z');

async function receiver(test: Test): Promise<Receiver> {
  const opened = await openReceiver();
  test.teardown(() => opened.close());
  return opened;
}

const eventOf = (path: string): string => path.slice(path.lastIndexOf('/') + 1);
const eventsAt = (endpoint: Receiver): string[] => endpoint.received.map(({ path }) => eventOf(path));

/** Collects the alarms raised, as `level kind`. */
function watched(test: Test, { store, dispatcher }: DeliveryWorld, clock: ManualClock): string[] {
  const raised: string[] = [];
  const note = (facts: { event?: string; hours?: number; kind?: string }): void => {
    raised.push(facts.event === 'delivery-alarm' ? `${facts.hours} ${facts.kind}` : `${facts.event}`);
  };
  const watch = startDeliveryMonitor({
    deliveries: store.deliveries,
    dispatcher,
    clock,
    aheadMs: () => 0,
    register: new Registry(),
    logger: { info: note, warn: note, error: note },
    webhookUrl: undefined,
  });
  test.teardown(() => watch.stop());
  return raised;
}

t.test(
  'case 15: 25 h down: alarms, a breach on record, all delivered within one probe gap, none lost, none twice',
  async (t) => {
    const clock = manualClock(startMs);
    const endpoint = await receiver(t);
    const opened = await world(t, { clock, limits: { perAuthority: 1 } });
    const raised = watched(t, opened, clock);
    await opened.subscribe(leeds, endpoint.origin);
    endpoint.behave({ kind: 'answer', status: 503 });
    const ids = await opened.owe(leeds, 5);
    for (let part = 0; part < 5; part += 1) {
      await opened.pass(clock, 5 * hourMs);
      ids.push(...(await opened.owe(leeds, 3)));
    }
    t.same(raised, ['1 overdue', '4 overdue', '12 overdue', '20 overdue', '24 overdue', 'delivery-breach']);
    t.match(await opened.store.deliveries.breaches(9), [
      { authority: leeds, kind: 'overdue', oldestRecordedMs: startMs },
    ]);
    const tries = endpoint.received.length;
    endpoint.behave({ kind: 'answer', status: 200 });
    await opened.pass(clock, 15 * minuteMs + 1_000);
    t.match(await opened.backlogOf(leeds), { undelivered: 0, delivered: ids.length, parked: 0 });
    const delivered = eventsAt(endpoint).slice(tries);
    t.same([...delivered].sort(), [...ids].sort());
    t.same(
      delivered.slice(1),
      ids.filter((id) => id !== delivered[0]),
      'oldest first behind the probe',
    );
    await opened.pass(clock, 2 * minuteMs);
    t.equal(raised.at(-1), '0 overdue', 'the alarm ends');
  },
);

t.test('case 16: 23 h 44 down: delivered before 24 h', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const opened = await world(t, { clock });
  const raised = watched(t, opened, clock);
  await opened.subscribe(leeds, endpoint.origin);
  endpoint.behave({ kind: 'reset' });
  await opened.owe(leeds, 20);
  await opened.pass(clock, 23 * hourMs + 44 * minuteMs);
  endpoint.behave({ kind: 'answer', status: 200 });
  await opened.pass(clock, 15 * minuteMs + 1_000);
  t.match(await opened.backlogOf(leeds), { undelivered: 0, delivered: 20 });
  t.same(await opened.store.deliveries.breaches(9), []);
  t.notOk(raised.includes('24 overdue'));
});

t.test('case 17: Retry-After is honoured within 15 min; 410, 404, 401 and 3xx drop nothing', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { subscribe, owe, pass, backlogOf } = await world(t, { clock });
  await subscribe(leeds, endpoint.origin);
  const asked = ['1000000000', '-5', 'Fri, 20 Nov 2099 09:00:00 GMT', '1e9', ''];
  const statuses = [503, 410, 404, 401, 302, 429, 403, 500];
  endpoint.behave((_, index) => ({
    kind: 'answer',
    status: statuses[index % statuses.length] ?? 500,
    headers: { 'retry-after': asked[index % asked.length] ?? '' },
  }));
  const atMs: number[] = [];
  endpoint.onReceived(() => atMs.push(clock.now()));
  await owe(leeds, 2);
  await pass(clock, 3 * hourMs);
  const longest = Math.max(...atMs.slice(1).map((ms, index) => ms - (atMs[index] ?? 0)));
  t.ok(longest <= 15 * minuteMs + 1_000, `${longest} ms`);
  t.match(await backlogOf(leeds), { undelivered: 2, delivered: 0 });
  endpoint.behave({ kind: 'answer', status: 202 });
  await pass(clock, 15 * minuteMs + 1_000);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 2 });
});

t.test('case 18: a redirect is not followed: no request and no header reaches the other place', async (t) => {
  const clock = manualClock(startMs);
  const [endpoint, elsewhere] = [await receiver(t), await receiver(t)];
  const { subscribe, owe, pass, backlogOf } = await world(t, { clock });
  await subscribe(leeds, endpoint.origin, { header: ['Authorization: Bearer secret'] });
  const places = [`${elsewhere.origin}/`, 'http://169.254.169.254/latest', '/elsewhere', '//127.0.0.1:1/'];
  const statuses = [301, 302, 307, 308];
  endpoint.behave((_, index) => ({
    kind: 'redirect',
    status: statuses[index % 4] ?? 302,
    location: places[index % 4] ?? '/',
  }));
  await owe(leeds, 1);
  await pass(clock, 20 * minuteMs);
  t.equal(endpoint.received.length, 5);
  t.ok(endpoint.received.every(({ path }) => path.startsWith('/AuditEvent/')));
  t.same(elsewhere.received, []);
  t.match(await backlogOf(leeds), { undelivered: 1 });
});

t.test(
  'case 19: slow headers, endless bodies, 1 GB bodies and gzip bombs are cut, and hold nobody else up',
  async (t) => {
    const healthy = await receiver(t);
    const gibibyte = 1024 ** 3;
    const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024));
    const bad = {
      E07000001: { kind: 'drip', everyMs: 20 },
      E07000002: { kind: 'drip-headers', everyMs: 20 },
      E07000003: { kind: 'flood' },
      E07000004: { kind: 'flood', contentLength: gibibyte },
      E07000005: { kind: 'answer', status: 200, headers: { 'content-encoding': 'gzip' }, body: bomb },
      E07000006: { kind: 'hang' },
    } as const;
    const endpoints = new Map<string, Receiver>();
    const { subscribe, owe, drained, dispatcher, backlogOf } = await world(t, {
      deadlineMs: 5_000,
      limits: { total: 2, deadlineMs: 5_000 },
    });
    for (const [authority, behaviour] of Object.entries(bad)) {
      const endpoint = await receiver(t);
      endpoint.behave(behaviour);
      endpoints.set(authority, endpoint);
      await subscribe(authority, endpoint.origin);
      await owe(authority, 3);
    }
    await subscribe(kent, healthy.origin);
    await Promise.all([...endpoints.values()].map((endpoint) => endpoint.waitFor(1)));
    await owe(kent, 50);
    await drained(kent);
    t.equal(healthy.received.length, 50);
    await waitUntil('three timeouts', () => (dispatcher.snapshot().attempts.get('timeout') ?? 0) >= 3);
    for (const authority of ['E07000001', 'E07000002', 'E07000006']) {
      t.match(await backlogOf(authority), { undelivered: 3, delivered: 0 }, 'cut at the deadline: not taken');
    }
    // A 2xx whose body is cut at the cap is an acknowledgement.
    for (const authority of ['E07000003', 'E07000004', 'E07000005']) await drained(authority);
    for (const [authority, { bytesSent }] of endpoints) {
      t.ok(bytesSent < 64 * 1024 * 1024, `${authority}: ${bytesSent} bytes, socket buffers of three requests included`);
    }
  },
);

t.test('case 22: any 2xx is a success whatever its body says; nothing else is', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { subscribe, owe, pass, backlogOf } = await world(t, { clock });
  await subscribe(leeds, endpoint.origin);
  endpoint.behave({
    kind: 'answer',
    status: 200,
    body: '{"resourceType":"OperationOutcome","issue":[{"severity":"fatal"}]}',
  });
  await owe(leeds, 1);
  await pass(clock, 100);
  for (const status of [201, 202, 204, 226]) {
    endpoint.behave({ kind: 'answer', status });
    await owe(leeds, 1);
    await pass(clock, 100);
  }
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 5 });
  for (const status of [300, 304, 400, 404, 418, 500, 599]) {
    endpoint.behave({ kind: 'answer', status });
    await owe(leeds, 1);
    await pass(clock, 20 * minuteMs);
    t.match(await backlogOf(leeds), { delivered: 5 }, `${status}`);
  }
});

t.test('case 23: two dispatchers on one store, 1,000 events: each is delivered once', async (t) => {
  const endpoint = await receiver(t);
  const { subscribe, owe, drained, backlogOf, startAnother } = await world(t);
  const other = startAnother();
  t.teardown(() => other.stop());
  await subscribe(leeds, endpoint.origin);
  const ids = [...(await owe(leeds, 500))];
  other.wake(leeds);
  ids.push(...(await owe(leeds, 500)));
  other.wake(leeds);
  await drained(leeds);
  t.equal(endpoint.received.length, 1_000);
  t.same(new Set(eventsAt(endpoint)), new Set(ids));
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 1_000 });
});

t.test('case 24: a failure that comes after its lease changes nothing; a success counts', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const held: (() => void)[] = [];
  // The worker pauses between the response and its report to the store, for longer than its lease.
  let stands = true;
  const faulty = (queue: DeliveryQueue): DeliveryQueue => ({
    ...queue,
    settle: async (...call) => {
      if (stands) await new Promise<void>((resolve) => held.push(resolve));
      return queue.settle(...call);
    },
  });
  const { subscribe, owe, store, backlogOf } = await world(t, { clock, faulty, limits: { perAuthority: 1 } });
  await subscribe(leeds, endpoint.origin);
  await owe(leeds, 1);
  await clock.advance(10, async () => undefined);
  await endpoint.waitFor(1);
  await waitUntil('the answer to be held', () => held.length > 0);
  const lateMs = clock.now() + 3 * minuteMs;
  const [taken] = await store.deliveries.claim(leeds, 1, lateMs, lateMs + minuteMs);
  t.ok(taken, 'taken over by another worker');
  if (taken === undefined) return;
  const failed = { kind: 'failed', dueMs: lateMs, reason: 'timeout', acknowledgedBy: [], spendAttempt: true } as const;
  t.equal(await store.deliveries.settle({ ...taken, leaseToken: 'stale' }, failed), false, 'fenced');
  stands = false;
  for (const resolve of held) resolve();
  await waitUntil('the delivery to be recorded', async () => (await backlogOf(leeds))?.delivered === 1);
  t.equal(await store.deliveries.settle(taken, failed), false, 'what is delivered stays so');
  t.match(await backlogOf(leeds), { undelivered: 0, leased: 0, delivered: 1 });
});

t.test('case 25: a stop gives leases back at once; those of a dead instance run out', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { subscribe, owe, pass, store, backlogOf } = await world(t, { clock });
  await owe(leeds, 3);
  const nowMs = clock.now();
  t.equal((await store.deliveries.claim(leeds, 3, nowMs, nowMs + 90_000)).length, 3, 'another instance, which dies');
  await subscribe(leeds, endpoint.origin);
  await pass(clock, 60_000);
  t.equal(endpoint.received.length, 0);
  await pass(clock, 31_000);
  t.equal(endpoint.received.length, 3);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 3 });
});

for (const [name, status] of [
  ['refuses', 422],
  ['fails at', 500],
] as const) {
  t.test(
    `case 26: an event that the endpoint ${name} is parked and alarmed, while later ones are delivered; then replayed`,
    async (t) => {
      const clock = manualClock(startMs);
      const endpoint = await receiver(t);
      const parked: string[] = [];
      const opened = await world(t, { clock, onParked: (_, auditId, reason) => parked.push(`${auditId} ${reason}`) });
      const raised = watched(t, opened, clock);
      await opened.subscribe(leeds, endpoint.origin);
      const [poison = ''] = await opened.owe(leeds, 1);
      endpoint.behave(({ path }) => ({ kind: 'answer', status: eventOf(path) === poison ? status : 200 }));
      for (let part = 0; part < 12; part += 1) {
        await opened.pass(clock, 5 * minuteMs);
        await opened.owe(leeds, 2);
      }
      await opened.pass(clock, minuteMs);
      t.same(parked, [`${poison} status-${status}`]);
      t.match(await opened.backlogOf(leeds), { undelivered: 1, parked: 1, delivered: 24, oldestRecordedMs: undefined });
      const tries = eventsAt(endpoint).filter((event) => event === poison).length;
      await opened.pass(clock, hourMs);
      const later = eventsAt(endpoint).filter((event) => event === poison).length;
      t.ok(later - tries >= 3 && later - tries <= 6, `still tried: ${later - tries} times in an hour`);
      t.same(raised, ['1 parked']);
      endpoint.behave({ kind: 'answer', status: 200 });
      t.equal(await opened.dispatcher.replay(leeds), 1);
      await opened.pass(clock, 1_000);
      t.match(await opened.backlogOf(leeds), { undelivered: 0, parked: 0, delivered: 25 });
    },
  );
}

t.test('case 27: nothing goes to an endpoint that is not the owner’s any more; nothing is dropped', async (t) => {
  const clock = manualClock(startMs);
  const [before, after] = [await receiver(t), await receiver(t)];
  const opened = await world(t, { clock });
  const raised = watched(t, opened, clock);
  const { subscribe, owe, pass, update, subscriptions, backlogOf, origins } = opened;
  const id = await subscribe(leeds, before.origin);
  await update(id, { status: 'off' });
  await subscriptions.changed(leeds);
  await owe(leeds, 2);
  await pass(clock, 2 * hourMs);
  t.same(before.received, [], 'off');
  t.match(await backlogOf(leeds), { undelivered: 2 });
  t.same(raised, ['1 overdue'], 'and alarmed');
  const next = await subscribe(leeds, after.origin);
  await pass(clock, 1_000);
  t.equal(after.received.length, 2, 'the one that takes its place gets what was owed');
  origins.delete(after.origin);
  await owe(leeds, 1);
  await pass(clock, hourMs);
  t.equal(after.received.length, 2, 'the registry does not name its origin any more: at once, without a reload');
  origins.add(after.origin);
  await update(next, null);
  await subscriptions.changed(leeds);
  await pass(clock, hourMs);
  t.equal(after.received.length, 2, 'deleted');
  t.match(await backlogOf(leeds), { undelivered: 1, delivered: 2 });
});

t.test(
  'case 28: the wall clock jumps by a day, forth and back: no lease is lost early, nothing waits a day',
  async (t) => {
    const clock = manualClock(startMs);
    const endpoint = await receiver(t);
    const { subscribe, owe, pass, backlogOf } = await world(t, { clock });
    await subscribe(leeds, endpoint.origin);
    for (const jumpMs of [24 * hourMs, -24 * hourMs, -hourMs, hourMs]) {
      endpoint.behave({ kind: 'answer', status: 503 });
      await owe(leeds, 2);
      await pass(clock, 2 * minuteMs);
      clock.step(jumpMs);
      await owe(leeds, 2);
      endpoint.behave({ kind: 'answer', status: 200 });
      await pass(clock, 17 * minuteMs);
      t.match(await backlogOf(leeds), { undelivered: 0, leased: 0 }, `${jumpMs / hourMs} h`);
    }
    t.match(await backlogOf(leeds), { delivered: 16 });
  },
);

t.test(
  'case 29: a backlog drains at the rate of its authority, oldest first, and others are not held up',
  async (t) => {
    const clock = manualClock(startMs);
    const [endpoint, other] = [await receiver(t), await receiver(t)];
    const { subscribe, owe, pass, backlogOf } = await world(t, { clock, limits: { perSecond: 50, perAuthority: 2 } });
    const ids = await owe(leeds, 400);
    await subscribe(leeds, endpoint.origin);
    await subscribe(kent, other.origin);
    await pass(clock, 2_000);
    const early = endpoint.received.length;
    t.ok(early >= 50 && early <= 152, `${early} in two seconds, 50 of them at once`);
    await owe(kent, 10);
    await pass(clock, 10);
    t.equal(other.received.length, 10);
    await pass(clock, 8_000);
    t.match(await backlogOf(leeds), { undelivered: 0, delivered: 400 });
    t.same(eventsAt(endpoint).slice(0, 40).sort(), ids.slice(0, 40).sort(), 'the oldest first');
  },
);
