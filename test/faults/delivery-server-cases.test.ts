import t from 'tap';
import type { DeliveryQueue } from '../../src/store/store.ts';
import { collectAlarms } from '../notification/collect-alarms.ts';
import { world } from '../notification/delivery-world.ts';
import { kent, leeds } from '../support/authorities.ts';
import { manualClock } from '../support/manual-clock.ts';
import { eventOf, eventsAt, receiver } from '../support/test-receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const startMs = Date.parse('2026-11-20T09:00:00Z');

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
      const raised = collectAlarms(t, opened, clock);
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
  const raised = collectAlarms(t, opened, clock);
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
