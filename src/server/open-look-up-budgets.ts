import type { Logger } from 'pino';
import { Counter, type Registry as MetricRegistry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import { openLookUpBudgets } from '../cpis/look-up-budgets.ts';
import { fault } from '../fhir/fault.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import { openAlarmWebhook } from '../notification/alarms/alarm-webhook.ts';
import type { Settings } from '../settings/settings.ts';

export interface LookUpBudgetOptions {
  readonly settings: Pick<Settings, 'alarmWebhookUrl' | 'professionalLookUpsPerMinute'>;
  readonly clock: Clock;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
}

/** Counts look-ups and reports the budgets that are reached: in the log, in the metrics and at the operator's webhook. */
export function openLookUpBudgetPort(
  { settings, clock, metrics, logger }: LookUpBudgetOptions,
  closing: AsyncDisposableStack,
): InteractionPorts['lookUps'] {
  const { alarmWebhookUrl: url, professionalLookUpsPerMinute } = settings;
  const onError = (error: unknown): void => logger.warn({ err: error }, 'the alarm webhook did not accept the alarm');
  const webhook = url === undefined ? undefined : openAlarmWebhook({ url, clock, onError });
  closing.defer(() => webhook?.close());
  const registers = [metrics];
  const alarms = new Counter({
    name: 'cpis_look_up_alarms_total',
    help: 'Budgets of look-ups that were reached, by scope (professional, organisation, client) and kind',
    labelNames: ['scope', 'kind'],
    registers,
  });
  const refused = new Counter({
    name: 'cpis_look_ups_refused_total',
    help: 'Look-ups that were answered 429, because one professional made too many in a minute',
    registers,
  });
  const budgets = openLookUpBudgets(professionalLookUpsPerMinute);
  return {
    admit(caller) {
      const waitS = budgets.waitS(caller, clock.now());
      if (waitS === 0) return;
      refused.inc();
      throw fault(
        'throttled',
        'One professional has made more look-ups in a minute than care needs. Nothing was disclosed. Wait for Retry-After; ' +
          'if a system prefetches a list, let it send fewer in a minute.',
        { retryAfterS: waitS, detail: 'look-up-budget' },
      );
    },
    note(caller, lookUp) {
      const nowMs = clock.now();
      for (const { scope, kind, window, count, organisationId, clientId } of budgets.count(caller, lookUp, nowMs)) {
        alarms.inc({ scope, kind });
        const facts = {
          event: 'look-up-alarm',
          scope,
          kind,
          window,
          count,
          organisation: organisationId,
          client: clientId,
        };
        logger.warn(
          facts,
          'look-ups beyond what care needs: an auditor finds who made them with AuditEvent?agent:identifier= of the client, in this time',
        );
        webhook?.report(facts);
      }
    },
  };
}
