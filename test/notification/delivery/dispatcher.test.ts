import t from 'tap';
import { kent, leeds } from '../../support/authorities.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { eventOf, eventsAt, receiver } from '../../support/test-receiver.ts';
import { world } from '../delivery-world.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const startMs = Date.parse('2026-11-20T09:00:00Z');

t.test('each event arrives once, oldest first, as an update with the payload type', async (t) => {
  const endpoint = await receiver(t);
  const { subscribe, owe, drained, statusOf, errors } = await world(t, { limits: { perAuthority: 1 } });
  const id = await subscribe(leeds, `${endpoint.origin}/hook/`, { header: ['Authorization: Bearer abc', 'X-Box: 7'] });
  t.match(await statusOf(id), { status: 'active', version: 2 });
  const ids = await owe(leeds, 150);
  await drained(leeds);
  t.same(eventsAt(endpoint), ids);
  const [first] = endpoint.received;
  t.match(first, {
    method: 'PUT',
    path: `/hook/AuditEvent/${ids[0]}`,
    headers: { 'content-type': 'application/fhir+json', authorization: 'Bearer abc', 'x-box': '7' },
  });
  t.equal(JSON.parse(first?.body ?? '').id, ids[0]);
  t.same(errors, []);
});

t.test('a POST if the client is registered for it, and an empty POST without a payload type', async (t) => {
  const [posted, empty] = [await receiver(t), await receiver(t)];
  const { subscribe, owe, drained } = await world(t, { methodOf: () => 'POST' });
  await subscribe(leeds, `${posted.origin}/in?box=7`);
  await subscribe(kent, `${empty.origin}/trigger`, { payload: null });
  const [event] = await owe(leeds, 1);
  await owe(kent, 1);
  await Promise.all([drained(leeds), drained(kent)]);
  t.match(posted.received, [{ method: 'POST', path: '/in?box=7' }]);
  t.equal(JSON.parse(posted.received[0]?.body ?? '').id, event);
  t.match(empty.received, [{ method: 'POST', path: '/trigger', body: '' }]);
  t.notOk(empty.received[0]?.headers['content-type']);
});

t.test('a failure is retried after 5 s, 30 s, 2 min, 10 min and then every 10 to 15 min', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, owe, backlogOf, statusOf } = await world(t, { clock });
  endpoint.behave({ kind: 'answer', status: 503 });
  const atMs: number[] = [];
  endpoint.onReceived(() => atMs.push(clock.now() - startMs));
  const id = await subscribe(leeds, endpoint.origin);
  await owe(leeds, 1);
  await pass(clock, 51 * minuteMs);
  const gaps = atMs.map((ms, position) => Math.round((ms - (atMs[position - 1] ?? 0)) / 1000));
  t.same(gaps, [0, 5, 30, 120, 600, 750, 750, 750]);
  t.match(await statusOf(id), { status: 'error', error: 'status-503', version: 3 }, 'one write, after three failures');
  t.match(await backlogOf(leeds), { undelivered: 1, delivered: 0, leased: 0 });

  endpoint.behave({ kind: 'answer', status: 204 });
  await pass(clock, 15 * minuteMs);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: 1 });
  const recovered = await statusOf(id);
  t.match(recovered, { status: 'active', version: 4 });
  t.notOk(recovered.error);
});

t.test('after an outage of 25 h everything is delivered within one probe gap, once, oldest first', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, owe, backlogOf } = await world(t, { clock, limits: { perAuthority: 1 } });
  await subscribe(leeds, endpoint.origin);
  endpoint.behave({ kind: 'reset' });
  const ids = await owe(leeds, 5);
  for (let hour = 0; hour < 25; hour += 1) {
    await pass(clock, hourMs);
    if (hour % 5 === 0) ids.push(...(await owe(leeds, 5)));
  }
  const tries = endpoint.received.length;
  t.ok(tries < 25 * 6 + 20, `${tries} requests in 25 h: one probe at a time`);
  endpoint.behave({ kind: 'answer', status: 200 });
  await pass(clock, 15 * minuteMs + 1000);
  t.match(await backlogOf(leeds), { undelivered: 0, delivered: ids.length });
  const delivered = eventsAt(endpoint).slice(tries);
  t.equal(delivered.length, ids.length, 'none lost, none twice');
  t.same(
    delivered.slice(1),
    ids.filter((id) => id !== delivered[0]),
    'oldest first after the probe',
  );
});

t.test('Retry-After lengthens the wait, up to 15 min', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, owe } = await world(t, { clock });
  await subscribe(leeds, endpoint.origin);
  const asked = ['60', '1000000000', '-5', new Date(startMs + 24 * hourMs).toUTCString()];
  endpoint.behave((_, index) => ({
    kind: 'answer',
    status: 429,
    headers: { 'retry-after': asked[index] ?? '0' },
  }));
  const atMs: number[] = [];
  endpoint.onReceived(() => atMs.push(clock.now() - startMs));
  await owe(leeds, 1);
  await pass(clock, 40 * minuteMs);
  const gaps = atMs.map((ms, position) => Math.round((ms - (atMs[position - 1] ?? 0)) / 1000));
  t.same(gaps.slice(0, 5), [0, 60, 900, 120, 900]);
});

t.test(
  'dead, hanging and endless endpoints delay no other authority, even when they hold every shared slot',
  async (t) => {
    const healthy = await receiver(t);
    const bad = await receiver(t);
    bad.behave((_, index) => (index % 2 === 0 ? { kind: 'hang' } : { kind: 'drip', everyMs: 50 }));
    const { subscribe, owe, drained, backlogOf, dispatcher } = await world(t, {
      deadlineMs: 20_000,
      limits: { total: 3, deadlineMs: 20_000 },
    });
    await subscribe(kent, healthy.origin);
    for (let n = 0; n < 10; n += 1) {
      await subscribe(`E0700000${n}`, `${bad.origin}/${n}`);
      await owe(`E0700000${n}`, 20);
    }
    await bad.waitFor(8);
    await owe(kent, 200);
    await drained(kent);
    t.same([...dispatcher.snapshot().attempts], [['acknowledged', 200]], 'before any attempt at the others has ended');
    t.equal(healthy.received.length, 200);
    t.match(await backlogOf('E07000004'), { undelivered: 20, delivered: 0 });
  },
);

t.test('a redirect is not followed and counts as a failure', async (t) => {
  const clock = manualClock(startMs);
  const [endpoint, elsewhere] = [await receiver(t), await receiver(t)];
  const { pass, subscribe, owe, backlogOf, statusOf } = await world(t, { clock });
  const id = await subscribe(leeds, endpoint.origin, { header: ['Authorization: Bearer abc'] });
  const statuses = [301, 302, 303, 307, 308];
  endpoint.behave((_, index) => ({
    kind: 'redirect',
    status: statuses[index] ?? 302,
    location: `${elsewhere.origin}/`,
  }));
  await owe(leeds, 1);
  await pass(clock, 20 * minuteMs);
  t.equal(endpoint.received.length, 5);
  t.same(elsewhere.received, []);
  t.match(await backlogOf(leeds), { undelivered: 1, delivered: 0 });
  t.match(await statusOf(id), { status: 'error', error: 'status-303' });
});

t.test('an event that always fails does not block the others', async (t) => {
  for (const status of [400, 422, 500]) {
    const clock = manualClock(startMs);
    const endpoint = await receiver(t);
    const { pass, subscribe, owe, backlogOf, statusOf } = await world(t, { clock });
    const id = await subscribe(leeds, endpoint.origin);
    const [poison = '', ...others] = await (async () => {
      endpoint.behave({ kind: 'answer', status });
      const [first = ''] = await owe(leeds, 1);
      endpoint.behave(({ path }) => ({ kind: 'answer', status: eventOf(path) === first ? status : 200 }));
      return [first, ...(await owe(leeds, 40))];
    })();
    await pass(clock, hourMs);
    t.match(await backlogOf(leeds), { undelivered: 1, delivered: 40 }, `${status}`);
    t.same(new Set(eventsAt(endpoint)), new Set([poison, ...others]));
    const tries = eventsAt(endpoint).filter((event) => event === poison).length;
    t.ok(tries >= 6 && tries <= 12, `${tries} tries in an hour`);
    if (status !== 500) t.match(await statusOf(id), { status: 'active', version: 2 });
    t.equal(eventsAt(endpoint).length - tries, 40, 'the others once each');
  }
});

t.test('events that always fail do not block unmatched events that are matched again', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, update, subscriptions, owe, backlogOf } = await world(t, { clock });
  const id = await subscribe(leeds, endpoint.origin, { criteria: 'AuditEvent?action=C' });
  const apart = await owe(leeds, 100);
  await pass(clock, 1_000);
  t.match(await backlogOf(leeds), { unmatched: 100, undelivered: 0 });
  const [first = '', ...others] = await owe(leeds, 4, 'C');
  const poison = new Set([first, ...others]);
  endpoint.behave(({ path }) => ({ kind: 'answer', status: poison.has(eventOf(path)) ? 500 : 200 }));
  await pass(clock, 30 * minuteMs);
  t.match(await backlogOf(leeds), { unmatched: 100, undelivered: 4 });
  await update(id, { criteria: 'AuditEvent', status: 'requested' });
  await subscriptions.changed(leeds);
  await pass(clock, 16 * minuteMs);
  t.match(await backlogOf(leeds), { unmatched: 0, undelivered: 4, delivered: 100 });
  t.same(new Set(eventsAt(endpoint).filter((event) => !poison.has(event))), new Set(apart));
});

t.test('an event that no Subscription matches is not owed, also while the endpoint is down', async (t) => {
  const clock = manualClock(startMs);
  const endpoint = await receiver(t);
  const { pass, subscribe, update, subscriptions, owe, backlogOf } = await world(t, { clock });
  const id = await subscribe(leeds, endpoint.origin, { criteria: 'AuditEvent?action=C' });
  await owe(leeds, 300);
  await pass(clock, 1_000);
  endpoint.behave({ kind: 'answer', status: 503 });
  const [wanted] = await owe(leeds, 1, 'U');
  await owe(leeds, 300);
  await pass(clock, 1_000);
  await update(id, { criteria: 'AuditEvent?action=U', status: 'requested' });
  await subscriptions.changed(leeds);
  await pass(clock, 3 * hourMs);
  t.match(await backlogOf(leeds), { unmatched: 600, undelivered: 1 });
  endpoint.behave({ kind: 'answer', status: 200 });
  await pass(clock, 16 * minuteMs);
  t.match(await backlogOf(leeds), { unmatched: 600, undelivered: 0, delivered: 1 });
  t.equal(eventsAt(endpoint).at(-1), wanted);
});
