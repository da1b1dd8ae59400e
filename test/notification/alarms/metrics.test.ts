import { Registry } from 'prom-client';
import t from 'tap';
import { registerDeliveryMetrics } from '../../../src/notification/alarms/metrics.ts';
import { manualClock } from '../../support/manual-clock.ts';
import { openReceiver } from '../../support/receiver.ts';
import { openDeliveryWorld } from '../delivery-world.ts';

t.test('the metrics show the backlog, its age and the attempts', async (t) => {
  const clock = manualClock(Date.parse('2026-11-20T09:00:00Z'));
  const endpoint = await openReceiver();
  const { subscribe, owe, pass, store, dispatcher, stop, remove } = await openDeliveryWorld({ clock });
  t.teardown(async () => {
    await stop();
    remove();
    await endpoint.close();
  });
  const register = new Registry();
  registerDeliveryMetrics({
    register,
    deliveries: store.deliveries,
    dispatcher,
    authorities: () => ['E08000035', 'E06000001'],
    ageMs: clock.ageMs,
    alarms: () => [
      { authority: 'E08000035', kind: 'overdue', level: 4, undelivered: 1, oldestRecordedMs: clock.now() },
    ],
    breaches: () => 2,
    aheadMs: () => 1_500,
  });
  const lines = async () =>
    (await register.metrics()).split('\n').filter((line) => !line.startsWith('#') && line !== '');
  const alarmed = [
    'cpis_delivery_alarm_hours{authority="E08000035",kind="overdue"} 4',
    'cpis_delivery_breaches_total 2',
    'cpis_clock_ahead_seconds 1.5',
  ];
  const never = 'cpis_delivery_oldest_undelivered_seconds{authority="E06000001"} 0';
  t.same(await lines(), [never.replace('E06000001', 'E08000035'), never, ...alarmed], 'also before the first delivery');

  await subscribe('E08000035', endpoint.origin);
  await owe('E08000035', 2);
  await pass(clock, 10);
  endpoint.behave({ kind: 'answer', status: 503 });
  await owe('E08000035', 1);
  await pass(clock, 90_000);
  t.same(
    new Set(await lines()),
    new Set([
      never,
      'cpis_delivery_oldest_undelivered_seconds{authority="E08000035"} 90',
      'cpis_deliveries{authority="E08000035",state="pending"} 1',
      'cpis_deliveries{authority="E08000035",state="leased"} 0',
      'cpis_deliveries{authority="E08000035",state="parked"} 0',
      'cpis_deliveries{authority="E08000035",state="unwanted"} 0',
      'cpis_deliveries{authority="E08000035",state="delivered"} 2',
      'cpis_delivery_endpoint_failures{authority="E08000035"} 3',
      'cpis_delivery_attempts_total{result="acknowledged"} 2',
      'cpis_delivery_attempts_total{result="status-503"} 3',
      ...alarmed,
    ]),
  );
  endpoint.behave({ kind: 'answer', status: 200 });
  await pass(clock, 5 * 60_000);
  t.match(await lines(), [
    'cpis_delivery_oldest_undelivered_seconds{authority="E08000035"} 0',
    never,
    'cpis_deliveries{authority="E08000035",state="pending"} 0',
  ]);
});
