import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { setImmediate as settled } from 'node:timers/promises';
import { Registry } from 'prom-client';
import t from 'tap';
import { startAlarmLoop } from '../../../src/notification/alarms/alarm-loop.ts';
import { type AlarmState, alarmLevelOf, judgeAlarms, noAlarms } from '../../../src/notification/alarms/alarms.ts';
import { startDeliveryMonitor } from '../../../src/notification/alarms/delivery-monitor.ts';
import { readEndpointTls } from '../../../src/notification/outbound-http/endpoint-tls.ts';
import { buildLogger } from '../../../src/server/logger.ts';
import type { DeliveryBacklog, DeliveryBreach } from '../../../src/store/store.ts';
import { audit } from '../../contract/fixtures.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { openMemoryDeliveries } from '../../support/memory-deliveries.ts';
import { openReceiver } from '../../support/receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';

const hourMs = 3_600_000;
const startMs = Date.parse('2026-11-20T09:00:00Z');

t.test('alarms at 1, 4, 12, 20 and 24 hours, for overdue and for parked deliveries; each breach once', async (t) => {
  t.same(
    [0, 0.99, 1, 3.99, 4, 12, 19.9, 20, 23.9, 24, 500].map((hours) => alarmLevelOf(hours * hourMs)),
    [0, 0, 1, 1, 4, 12, 12, 20, 20, 24, 24],
  );
  const row: DeliveryBacklog = {
    authority: 'E1',
    undelivered: 3,
    leased: 0,
    parked: 1,
    unmatched: 9,
    oldestRecordedMs: 0,
    oldestParkedMs: 10 * hourMs,
    oldestUnmatchedMs: undefined,
    nextDueMs: 0,
    delivered: 0,
  };
  let state: AlarmState = noAlarms;
  const raised: string[] = [];
  const breaches: DeliveryBreach[] = [];
  for (let minute = 0; minute <= 40 * 60; minute += 1) {
    const backlog = minute < 30 * 60 ? [row] : [{ ...row, oldestRecordedMs: undefined, undelivered: 1 }];
    const decision = judgeAlarms(state, backlog, minute * 60_000, (recordedMs) => minute * 60_000 - recordedMs);
    state = decision;
    for (const { kind, level, undelivered } of decision.changed)
      raised.push(`${minute / 60} ${kind} ${level} ${undelivered}`);
    breaches.push(...decision.breaches);
  }
  t.same(raised, [
    '1 overdue 1 2',
    '4 overdue 4 2',
    '11 parked 1 1',
    '12 overdue 12 2',
    '14 parked 4 1',
    '20 overdue 20 2',
    '22 parked 12 1',
    '24 overdue 24 2',
    '30 overdue 0 0',
    '30 parked 20 1',
    '34 parked 24 1',
  ]);
  t.same(
    breaches.map(({ kind, oldestRecordedMs, atMs }) => [kind, oldestRecordedMs / hourMs, atMs / hourMs]),
    [
      ['overdue', 0, 24],
      ['parked', 10, 34],
    ],
  );
});

t.test(
  'an authority whose Subscriptions select nothing: 4 and 24 hours after its first event, until one is delivered',
  async (t) => {
    const row: DeliveryBacklog = {
      authority: 'E1',
      undelivered: 0,
      leased: 0,
      parked: 0,
      unmatched: 5,
      oldestRecordedMs: undefined,
      oldestParkedMs: undefined,
      oldestUnmatchedMs: 2 * hourMs,
      nextDueMs: undefined,
      delivered: 7,
    };
    let state: AlarmState = noAlarms;
    const raised: string[] = [];
    for (let hour = 0; hour <= 80; hour += 1) {
      // One event is delivered after 40 hours; the others still match nothing, until a Subscription selects them.
      const delivered = hour < 40 ? 7 : 8;
      const current =
        hour < 70 ? { ...row, delivered } : { ...row, delivered, unmatched: 0, oldestUnmatchedMs: undefined };
      const decision = judgeAlarms(state, hour < 2 ? [] : [current], hour * hourMs, (ms) => hour * hourMs - ms);
      state = decision;
      for (const { kind, level, undelivered } of decision.changed)
        raised.push(`${hour} ${kind} ${level} ${undelivered}`);
      t.strictSame(decision.breaches, [], 'nothing was promised');
    }
    t.same(raised, [
      '6 unwanted 4 5',
      '26 unwanted 24 5',
      '40 unwanted 0 5',
      '44 unwanted 4 5',
      '64 unwanted 24 5',
      '70 unwanted 0 0',
    ]);
  },
);

t.test('a breach is recorded when the store accepts it, and reported once, also across restarts', async (t) => {
  const clock = manualClock(startMs);
  const deliveries = openMemoryDeliveries();
  deliveries.add([audit('a1', { recordedMs: startMs - 30 * hourMs, deliverTo: ['E1'] })]);
  let faults = 3;
  const raised: DeliveryBreach[] = [];
  const errors: unknown[] = [];
  const watch = () =>
    startAlarmLoop({
      deliveries: {
        backlog: deliveries.backlog,
        recordBreach: async (breach) => {
          faults -= 1;
          if (faults >= 0) throw new Error('full');
          return deliveries.recordBreach(breach);
        },
      },
      clock,
      everyMs: 60_000,
      onAlarm: () => undefined,
      onBreach: (breach) => raised.push(breach),
      onError: (error) => errors.push(error),
    });
  const first = watch();
  await clock.advance(10 * 60_000, settled);
  t.equal(errors.length, 3);
  t.match(raised, [{ authority: 'E1', kind: 'overdue', undelivered: 1 }]);
  first.stop();
  const second = watch();
  await clock.advance(10 * 60_000, settled);
  t.equal(raised.length, 1);
  second.stop();
  t.equal((await deliveries.breaches(9)).length, 1);
});

t.test('an alarm is in the log, in the metrics and at the webhook, with an authority and numbers only', async (t) => {
  const clock = manualClock(startMs);
  const webhook = await openReceiver();
  t.teardown(() => webhook.close());
  webhook.behave((_, index) => ({ kind: 'answer', status: index === 0 ? 500 : 204 }));
  const deliveries = openMemoryDeliveries();
  deliveries.add([audit('a1', { recordedMs: startMs, deliverTo: ['E08000035'] })]);
  const lines: string[] = [];
  const destination = new PassThrough().on('data', (chunk: Buffer) => lines.push(chunk.toString()));
  const register = new Registry();
  const queue = {
    authority: 'E08000035',
    sending: 0,
    claimed: 0,
    inFlight: 0,
    endpointFailures: 9,
    lastFailure: 'tls',
  };
  let aheadMs = 0;
  const watch = startDeliveryMonitor({
    authorities: () => [],
    deliveries,
    dispatcher: { snapshot: () => ({ attempts: new Map(), queues: [queue], isIdle: true }) },
    clock,
    aheadMs: () => aheadMs,
    register,
    logger: buildLogger({ level: 'info', destination }),
    webhookUrl: `${webhook.origin}/alarms`,
  });
  await clock.advance(2 * hourMs, settled);
  await webhook.waitFor(1);
  await waitUntil('the failure to be logged', () => lines.some((line) => line.includes('alarm webhook')));
  await clock.advance(10_000, settled);
  await webhook.waitFor(2);
  aheadMs = 86_400_000;
  await clock.advance(23 * hourMs, settled);
  t.match(JSON.parse(webhook.received[1]?.body ?? ''), {
    event: 'delivery-alarm',
    authority: 'E08000035',
    kind: 'overdue',
    hours: 1,
    undelivered: 1,
    undeliveredSince: '2026-11-20T09:00:00.000Z',
  });
  const log = lines.join('');
  for (const hours of [1, 4, 12, 20, 24]) {
    t.match(
      log,
      `"event":"delivery-alarm","authority":"E08000035","kind":"overdue","hours":${hours},"undelivered":1,"reason":"tls"`,
    );
  }
  t.equal(log.split('"event":"delivery-breach"').length, 2);
  t.equal(log.split('"event":"clock-skew"').length, 2, 'once');
  t.notMatch(log, /999\d{7}|Patient/);
  const metrics = await register.metrics();
  t.match(metrics, 'cpis_delivery_alarm_hours{authority="E08000035",kind="overdue"} 24');
  t.match(metrics, 'cpis_delivery_breaches_total 1');
  t.match(metrics, 'cpis_clock_ahead_seconds 86400');
  watch.stop();
});

t.test('the file of endpoint certificates: every problem is described without a value', async (t) => {
  const folder = t.testdir({ 'bad.json': '{', 'list.json': '[]' });
  const read = (content: unknown) => {
    const path = join(folder, 'tls.json');
    writeFileSync(path, JSON.stringify(content));
    return readEndpointTls(path, (name) => readFileSync(name, 'utf8'));
  };
  const text = (name: string) => readFileSync(name, 'utf8');
  t.same(readEndpointTls(join(folder, 'absent.json'), text).problems, ['the file cannot be read']);
  t.same(readEndpointTls(join(folder, 'bad.json'), text).problems, ['is not JSON']);
  for (const wrong of [
    { 'https://a.test': {} },
    { 'https://a.test': { certFile: 'c' } },
    { 'https://a.test': { x: 1 } },
  ]) {
    t.equal(read(wrong).problems.length, 1);
  }
  t.match(read({ 'https://a.test/': { caFile: 'bad.json' } }).problems, [
    'entry 1: must be an exact https origin, without a slash at its end',
    'entry 1: a file cannot be read, or certificate and key do not belong together',
  ]);
  const hasOpenssl = (() => {
    try {
      execFileSync('openssl', ['version'], { stdio: 'ignore' });
      return true;
    } catch {
      return false;
    }
  })();
  if (!hasOpenssl) return;
  const make = (name: string): void => {
    const files = ['-keyout', join(folder, `${name}.key`), '-out', join(folder, `${name}.crt`)];
    const kind = [
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    ];
    execFileSync('openssl', ['req', '-x509', ...kind, ...files], { stdio: 'ignore' });
  };
  make('one');
  make('other');
  const good = read({ 'https://a.test': { certFile: 'one.crt', keyFile: 'one.key', caFile: 'other.crt' } });
  t.same(good.problems, []);
  t.match(good.tls.get('https://a.test'), { cert: /BEGIN/, key: /BEGIN/, ca: /BEGIN/ });
  t.equal(read({ 'https://a.test': { certFile: 'one.crt', keyFile: 'other.key' } }).problems.length, 1);
});
