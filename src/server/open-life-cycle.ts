import type { Logger } from 'pino';
import type { Registry as MetricRegistry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import { type SettleChildPorts, settleChild } from '../interactions/write/settle-child.ts';
import { startDailySweep } from '../life-cycle/daily-sweep.ts';
import { registerLifeCycleMetrics } from '../life-cycle/metrics.ts';
import type { PlanSurvey } from '../life-cycle/plan-survey.ts';
import { sweepChildren } from '../life-cycle/sweep-children.ts';
import { sweepPlans } from '../life-cycle/sweep-plans.ts';
import { openAlarmWebhook } from '../notification/alarms/alarm-webhook.ts';
import type { Settings } from '../settings/settings.ts';

export interface LifeCycleOptions {
  readonly settings: Pick<Settings, 'unconfirmedAfterDays' | 'alarmWebhookUrl'>;
  readonly survey: PlanSurvey;
  readonly ports: Pick<InteractionPorts, 'extract'> & SettleChildPorts;
  readonly clock: Clock;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
}

/** Starts the daily sweep of open plans and of children whose details differ; `closing` stops it. */
export function openLifeCycle(options: LifeCycleOptions, closing: AsyncDisposableStack): void {
  const { settings, survey, ports, clock, metrics, logger } = options;
  const { unconfirmedAfterDays, alarmWebhookUrl: url } = settings;
  const counts = registerLifeCycleMetrics(metrics, survey);
  const onError = (error: unknown): void => logger.warn({ err: error }, 'the alarm webhook did not accept the alarm');
  const webhook = url === undefined ? undefined : openAlarmWebhook({ url, clock, onError });
  const sweep = startDailySweep({
    clock,
    async sweep(today, isStopped) {
      const rule = { today, unconfirmedAfterDays };
      const counting = survey.begin(rule);
      const { store, extract, newAuditId, baseUrl, committed } = ports;
      const isSwept = await sweepPlans(
        rule,
        {
          ...{ store, newAuditId, baseUrl, committed, indexOf: extract, now: clock.now },
          onEvent({ code }, authority, plan) {
            counts.onEvent(code);
            if (code !== 'due-date-missing') return;
            const facts = { event: 'plan-without-due-date', authority, plan };
            logger.warn(
              facts,
              "an unborn child's plan has no expected date of delivery after 300 days: ask its authority",
            );
            webhook?.report(facts);
          },
        },
        counting.add,
        isStopped,
      );
      const isDone = isSwept && (await sweepChildren(store, (number) => settleChild(number, ports), isStopped));
      if (isDone) {
        counting.finish();
        counts.onSwept(clock.now());
      }
      return isDone;
    },
    onError: (error) => logger.error({ err: error }, 'the daily sweep of plans failed: it is tried again in a minute'),
  });
  closing.defer(async () => {
    await sweep.stop();
    webhook?.close();
  });
}
