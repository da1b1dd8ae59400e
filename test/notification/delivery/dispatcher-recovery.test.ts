import t from 'tap';
import { leeds } from '../../support/authorities.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { eventsAt, receiver } from '../../support/test-receiver.ts';
import { openDeliveryWorld, world } from '../delivery-world.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const startMs = Date.parse('2026-11-20T09:00:00Z');

t.test('after a lost response the event is sent again with the same id', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, owe, backlogOf } = await world(t, { clock });
  await subscribe(leeds, endpoint.origin);
  endpoint.behave((_, index) => (index === 0 ? { kind: 'reset' } : { kind: 'answer', status: 200 }));
  const [event] = await owe(leeds, 1);
  await pass(clock, 10_000);
  t.same(eventsAt(endpoint), [event, event]);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 1 });
});

t.test('deliveries wait while there is no usable Subscription', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, owe, backlogOf, dispatcher } = await world(t, { clock });
  await owe(leeds, 3);
  await pass(clock, 2 * hourMs);
  t.match(await backlogOf(leeds), { undelivered: 3, leased: 0 });
  await subscribe(leeds, `${endpoint.origin}/creates`, {
    criteria: 'AuditEvent?action=C&agent=Organization/E08000035',
  });
  await pass(clock, 2 * hourMs);
  t.match(
    await backlogOf(leeds),
    { undelivered: 0, unmatched: 3, leased: 0, oldestRecordedMs: undefined },
    'none of them is a create: they are not owed, and nobody is alarmed',
  );
  t.equal(endpoint.received.length, 0);
  await owe(leeds, 2, 'C');
  await pass(clock, 100);
  t.equal(endpoint.received.length, 2);
  await subscribe(leeds, `${endpoint.origin}/all`);
  await pass(clock, 100);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 5 });
  t.equal(endpoint.received.length, 5);
  t.same([...dispatcher.snapshot().attempts], [['acknowledged', 5]], 'waiting spent no attempt');
});

t.test(
  'of two Subscriptions, the one that works receives each event once, and the other all of them after it recovers',
  async (t) => {
    const clock = manualClock(startMs);
    const [working, broken] = [await receiver(t), await receiver(t)];
    const { pass, subscribe, owe, backlogOf } = await world(t, { clock });
    await subscribe(leeds, working.origin);
    await subscribe(leeds, broken.origin);
    broken.behave({ kind: 'answer', status: 503 });
    const ids = await owe(leeds, 30);
    await pass(clock, 2 * minuteMs);
    ids.push(...(await owe(leeds, 30)));
    await pass(clock, 30 * minuteMs);
    t.same(new Set(eventsAt(working)), new Set(ids));
    t.equal(working.received.length, 60);
    t.match(await backlogOf(leeds), { undelivered: 60, delivered: 0 });
    broken.behave({ kind: 'answer', status: 200 });
    const before = broken.received.length;
    await pass(clock, 15 * minuteMs + 1000);
    t.match(await backlogOf(leeds), { undelivered: 0, delivered: 60 });
    t.equal(broken.received.length - before, 60);
    t.equal(working.received.length, 60);
  },
);

t.test('after a change an endpoint in error is sent one probe, and the other endpoint does not wait', async (t) => {
  const [healthy, hanging] = [await receiver(t), await receiver(t)];
  const first = await world(t, { deadlineMs: 20_000, limits: { deadlineMs: 20_000, perAuthority: 4 } });
  const { subscribe, subscriptions, update, owe } = first;
  const plain = await subscribe(leeds, healthy.origin);
  const id = await subscribe(leeds, hanging.origin);
  hanging.behave({ kind: 'hang' });
  await update(id, { status: 'error', error: 'timeout' });
  await update(plain, { reason: 'changed' });
  await subscriptions.changed(leeds);
  await owe(leeds, 40);
  await healthy.waitFor(40);
  t.equal(hanging.received.length, 1);
});

t.test('a restart loses nothing, and a stop gives the leases back at once', async (t) => {
  const endpoint = await receiver(t);
  endpoint.behave({ kind: 'hang' });
  const first = await openDeliveryWorld({ limits: { perAuthority: 2 } });
  await first.subscribe(leeds, endpoint.origin);
  const ids = await first.owe(leeds, 20);
  await endpoint.waitFor(2);
  await first.stop();
  t.equal(endpoint.received.length, 2);

  endpoint.behave({ kind: 'answer', status: 200 });
  const second = await openDeliveryWorld({ folder: first.folder, origins: [endpoint.origin] });
  t.teardown(async () => {
    await second.stop();
    second.remove();
  });
  await second.drained(leeds);
  t.same(new Set(eventsAt(endpoint)), new Set(ids));
  t.equal(endpoint.received.length, 22);
  t.match(await second.backlogOf(leeds), { undelivered: 0, delivered: 20 });
});

t.test('a wall clock that is set back does not stop delivery', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, owe, backlogOf } = await world(t, { clock, limits: { queryEveryMs: minuteMs } });
  await subscribe(leeds, endpoint.origin);
  endpoint.behave({ kind: 'answer', status: 500 });
  await owe(leeds, 1);
  await pass(clock, 20 * minuteMs);
  clock.step(-24 * hourMs);
  endpoint.behave({ kind: 'answer', status: 200 });
  await pass(clock, 16 * minuteMs);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 1 });
});

t.test('delivery continues after a temporary failure of the store', async (t) => {
  const endpoint = await receiver(t);
  let faults = 0;
  const failing = async (): Promise<never> => {
    faults += 1;
    throw new Error('busy');
  };
  const { subscribe, owe, drained, errors } = await world(t, {
    faulty: (queue) => ({
      ...queue,
      claim: (...call) => (faults < 2 ? failing() : queue.claim(...call)),
      settle: (...call) => (faults < 4 ? failing() : queue.settle(...call)),
      extend: (...call) => queue.extend(...call),
      backlog: () => (faults < 1 ? failing() : queue.backlog()),
      requeue: (...call) => queue.requeue(...call),
      owed: (...call) => queue.owed(...call),
    }),
  });
  await subscribe(leeds, endpoint.origin);
  await owe(leeds, 10);
  await drained(leeds);
  t.equal(endpoint.received.length, 10);
  t.equal(errors.length, faults, 'each failure is reported');
  t.ok(faults >= 4);
});
