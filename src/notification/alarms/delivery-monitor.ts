import type { Logger } from 'pino';
import type { Registry } from 'prom-client';
import type { Clock } from '../../clock/clock.ts';
import type { DeliveryQueue } from '../../store/store.ts';
import type { Dispatcher } from '../delivery/dispatcher.ts';
import { type AlarmLoop, startAlarmLoop } from './alarm-loop.ts';
import { openAlarmWebhook } from './alarm-webhook.ts';
import type { Alarm } from './alarms.ts';
import { registerDeliveryMetrics } from './metrics.ts';

export interface DeliveryMonitorOptions {
  readonly deliveries: DeliveryQueue;
  readonly dispatcher: Pick<Dispatcher, 'snapshot'>;
  /** The registered authorities. */
  readonly authorities: () => Iterable<string>;
  readonly clock: Clock;
  /** How far the clock of this process is ahead of the machine's, in milliseconds. */
  readonly aheadMs: () => number;
  readonly register: Registry;
  readonly logger: Pick<Logger, 'warn' | 'error' | 'info'>;
  readonly webhookUrl: string | undefined;
}

const everyMs = 60_000;
/** A larger difference between the two clocks is logged, once. */
const maxSkewMs = 60_000;

/**
 * Starts the alarm loop and reports what it finds: in the log as `delivery-alarm` and `delivery-breach`, in the
 * metrics, and at the operator's webhook if one is set.
 */
export function startDeliveryMonitor(options: DeliveryMonitorOptions): Pick<AlarmLoop, 'stop'> {
  const { deliveries, dispatcher, authorities, clock, aheadMs, register, logger, webhookUrl } = options;
  let breaches = 0;
  let skewed = false;
  const webhook =
    webhookUrl === undefined
      ? undefined
      : openAlarmWebhook({
          url: webhookUrl,
          clock,
          onError: (error) => logger.warn({ err: error }, 'the alarm webhook did not accept the alarm'),
        });

  function onAlarm(alarm: Alarm): void {
    const { authority, kind, level: hours, undelivered, oldestRecordedMs } = alarm;
    const queue = dispatcher.snapshot().queues.find((other) => other.authority === authority);
    const reason = queue?.lastFailure === undefined ? {} : { reason: queue.lastFailure };
    const alarmed = { event: 'delivery-alarm', authority, kind, hours, undelivered };
    const facts = { ...alarmed, ...reason };
    if (hours === 0) logger.info(facts, 'delivery to the authority has recovered');
    else if (kind === 'unwanted')
      logger[hours >= 24 ? 'error' : 'warn'](
        facts,
        'no Subscription of the authority selects its events: it is notified of nothing. Ask it to check its criteria',
      );
    else if (kind === 'parked')
      logger[hours >= 12 ? 'error' : 'warn'](
        facts,
        'parked events have not been delivered: ask the authority why its endpoint refuses them',
      );
    else if (hours >= 12)
      logger.error(facts, 'delivery to the authority is far behind: check its endpoint and contact the authority');
    else logger.warn(facts, 'delivery to the authority is behind');
    const since = oldestRecordedMs === undefined ? {} : { undeliveredSince: new Date(oldestRecordedMs).toISOString() };
    webhook?.report({ ...alarmed, ...since });
  }

  function reportSkew(): void {
    const ms = aheadMs();
    const isSkewed = Math.abs(ms) > maxSkewMs;
    if (isSkewed && !skewed) {
      logger.warn(
        { event: 'clock-skew', aheadMs: ms },
        'the clock of the machine has jumped: the server follows it slowly',
      );
    }
    skewed = isSkewed;
  }

  const loop = startAlarmLoop({
    deliveries: {
      backlog: () => {
        reportSkew();
        return deliveries.backlog();
      },
      recordBreach: (breach) => deliveries.recordBreach(breach),
    },
    clock,
    everyMs,
    onAlarm,
    onBreach: ({ authority, kind, undelivered }) => {
      breaches += 1;
      const facts = { event: 'delivery-breach', authority, kind, undelivered };
      logger.error(facts, 'an authority was not notified within 24 hours: the breach has been recorded');
    },
    onError: (error) => logger.error({ err: error }, 'the delivery backlog could not be read'),
  });
  registerDeliveryMetrics({
    register,
    deliveries,
    dispatcher,
    authorities,
    ageMs: clock.ageMs,
    alarms: loop.active,
    breaches: () => breaches,
    aheadMs,
  });
  return {
    stop() {
      loop.stop();
      webhook?.close();
    },
  };
}
