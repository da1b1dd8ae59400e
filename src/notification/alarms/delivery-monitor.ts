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
  readonly clock: Clock;
  /** How far the clock of this process is ahead of the machine's, in milliseconds. */
  readonly aheadMs: () => number;
  readonly register: Registry;
  readonly logger: Pick<Logger, 'warn' | 'error' | 'info'>;
  readonly webhookUrl: string | undefined;
}

const everyMs = 60_000;
/** A clock that is this far from the machine's is told of, once. */
const skewToTellMs = 60_000;

/**
 * Alarms where people see them: in the log as `delivery-alarm` and `delivery-breach`, in the metrics, and at the operator's
 * webhook where there is one.
 */
export function startDeliveryMonitor(options: DeliveryMonitorOptions): Pick<AlarmLoop, 'stop'> {
  const { deliveries, dispatcher, clock, aheadMs, register, logger, webhookUrl } = options;
  let breaches = 0;
  let skewed = false;
  const webhook =
    webhookUrl === undefined
      ? undefined
      : openAlarmWebhook({
          url: webhookUrl,
          clock,
          onError: (error) => logger.warn({ err: error }, 'the alarm webhook could not be told'),
        });

  function onAlarm(alarm: Alarm): void {
    const { authority, kind, level: hours, undelivered } = alarm;
    const queue = dispatcher.snapshot().queues.find((one) => one.authority === authority);
    const reason = queue?.lastFailure === undefined ? {} : { reason: queue.lastFailure };
    const facts = { event: 'delivery-alarm', authority, kind, hours, undelivered, ...reason };
    if (hours === 0) logger.info(facts, 'an authority is told again of what it was owed');
    else if (hours >= 12) logger.error(facts, 'an authority has not been told for long');
    else logger.warn(facts, 'an authority has not been told for a while');
    webhook?.tell(alarm);
  }

  function tellOfSkew(): void {
    const ms = aheadMs();
    const isSkewed = Math.abs(ms) > skewToTellMs;
    if (isSkewed && !skewed) {
      logger.warn({ event: 'clock-skew', aheadMs: ms }, 'the clock of the machine has leapt: it is followed slowly');
    }
    skewed = isSkewed;
  }

  const watch = startAlarmLoop({
    deliveries: {
      backlog: () => {
        tellOfSkew();
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
      logger.error(facts, 'an authority has not been told within 24 hours: on record');
    },
    onError: (error) => logger.error({ err: error }, 'what is owed could not be looked at'),
  });
  registerDeliveryMetrics({
    register,
    deliveries,
    dispatcher,
    ageMs: clock.ageMs,
    alarms: watch.active,
    breaches: () => breaches,
    aheadMs,
  });
  return {
    stop() {
      watch.stop();
      webhook?.close();
    },
  };
}
