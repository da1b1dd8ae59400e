/**
 * Faults of endpoints, one test for each case of docs/faults.md, in virtual time. Those of servers are in delivery-server-cases.test.ts.
 * Signatures (30) are in test/notification/outbound-http, TLS (20) in sender-tls.test.ts there, handshakes (31) in the
 * tests of topic-based Subscriptions.
 */
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { collectAlarms } from '../notification/collect-alarms.ts';
import { world } from '../notification/delivery-world.ts';
import { kent, leeds } from '../support/authorities.ts';
import { manualClock } from '../support/manual-clock.ts';
import type { Receiver } from '../support/receiver.ts';
import { eventsAt, receiver } from '../support/test-receiver.ts';
import { waitUntil } from '../support/wait-until.ts';

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const startMs = Date.parse('2026-11-20T09:00:00Z');

t.test(
  'case 15: 25 h down: alarms, a breach on record, all delivered within one probe gap, none lost, none twice',
  async (t) => {
    const clock = manualClock(startMs);
    const endpoint = await receiver(t);
    const opened = await world(t, { clock, limits: { perAuthority: 1 } });
    const raised = collectAlarms(t, opened, clock);
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
  const raised = collectAlarms(t, opened, clock);
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
