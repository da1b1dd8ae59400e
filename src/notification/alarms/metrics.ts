import { Counter, Gauge, type Registry } from 'prom-client';
import type { DeliveryBacklog, DeliveryQueue } from '../../store/store.ts';
import type { Dispatcher } from '../delivery/dispatcher.ts';
import type { Alarm } from './alarms.ts';

export interface DeliveryMetricsOptions {
  readonly register: Registry;
  readonly deliveries: Pick<DeliveryQueue, 'backlog'>;
  readonly dispatcher: Pick<Dispatcher, 'snapshot'>;
  /** The authorities that are shown with an age of 0 before anything was owed to them. */
  readonly authorities: () => Iterable<string>;
  /** Returns the real age of a recorded moment, whatever the wall clock did. */
  readonly ageMs: (recordedMs: number) => number;
  readonly alarms: () => readonly Alarm[];
  /** Breaches recorded by this process since its start. */
  readonly breaches: () => number;
  /** How far the clock of this process is ahead of the machine's, in milliseconds. */
  readonly aheadMs: () => number;
}

/**
 * Registers the metrics of the backlog and of attempts, which are read at each scrape: age of the oldest undelivered
 * AuditEvent and counts by state for each authority, consecutive failures, attempts by result.
 */
export function registerDeliveryMetrics(options: DeliveryMetricsOptions): void {
  const { register, deliveries, dispatcher, authorities, ageMs, alarms, breaches, aheadMs } = options;
  const registers = [register];
  let reading: Promise<readonly DeliveryBacklog[]> | undefined;
  /** All gauges of one scrape share one query. */
  const backlog = () => {
    reading ??= deliveries.backlog().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  new Gauge({
    name: 'cpis_delivery_oldest_undelivered_seconds',
    help: 'Age of the oldest AuditEvent that is owed to an authority and not parked; 0 if there is none',
    labelNames: ['authority'],
    registers,
    async collect() {
      const rows = await backlog();
      this.reset();
      for (const authority of authorities()) this.set({ authority }, 0);
      for (const { authority, oldestRecordedMs } of rows) {
        this.set({ authority }, oldestRecordedMs === undefined ? 0 : ageMs(oldestRecordedMs) / 1000);
      }
    },
  });
  new Gauge({
    name: 'cpis_deliveries',
    help: 'Deliveries by authority and state: pending, leased, parked, unwanted (no Subscription matches), delivered',
    labelNames: ['authority', 'state'],
    registers,
    async collect() {
      this.reset();
      for (const { authority, undelivered, leased, parked, unmatched, delivered } of await backlog()) {
        this.set({ authority, state: 'pending' }, Math.max(0, undelivered - leased - parked));
        this.set({ authority, state: 'leased' }, leased);
        this.set({ authority, state: 'parked' }, parked);
        this.set({ authority, state: 'unwanted' }, unmatched);
        this.set({ authority, state: 'delivered' }, delivered);
      }
    },
  });
  new Gauge({
    name: 'cpis_delivery_endpoint_failures',
    help: 'Highest number of consecutive failures of any endpoint of the authority; 0 if none is failing',
    labelNames: ['authority'],
    registers,
    collect() {
      this.reset();
      for (const { authority, endpointFailures } of dispatcher.snapshot().queues)
        this.set({ authority }, endpointFailures);
    },
  });
  new Gauge({
    name: 'cpis_delivery_alarm_hours',
    help: 'Alarm level by authority and kind (overdue, parked, unwanted): age in hours of the oldest undelivered event (1, 4, 12, 20, 24)',
    labelNames: ['authority', 'kind'],
    registers,
    collect() {
      this.reset();
      for (const { authority, kind, level } of alarms()) this.set({ authority, kind }, level);
    },
  });
  new Counter({
    name: 'cpis_delivery_breaches_total',
    help: 'Breaches of the 24-hour limit recorded since the start',
    registers,
    collect() {
      this.reset();
      this.inc(breaches());
    },
  });
  new Gauge({
    name: 'cpis_clock_ahead_seconds',
    help: "Seconds by which the server's clock is ahead of the machine's. The server's clock never goes back",
    registers,
    collect() {
      this.set(aheadMs() / 1000);
    },
  });
  new Counter({
    name: 'cpis_delivery_attempts_total',
    help: 'Notifications sent since the start, by result: acknowledged, or the class of the failure',
    labelNames: ['result'],
    registers,
    collect() {
      this.reset();
      for (const [result, count] of dispatcher.snapshot().attempts) this.inc({ result }, count);
    },
  });
}
