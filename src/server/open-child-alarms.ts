import type { Logger } from 'pino';
import { Gauge, type Registry as MetricRegistry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import { needsLookLabel } from '../cpis/child-labels.ts';
import { childType } from '../cpis/statement.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import { openAlarmWebhook } from '../notification/alarms/alarm-webhook.ts';
import type { Settings } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';

export interface ChildAlarmsOptions {
  readonly settings: Pick<Settings, 'alarmWebhookUrl'>;
  readonly store: Pick<Store, 'search'>;
  readonly clock: Clock;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
}

const texts = {
  'details-differ': 'authorities state different birth dates of a child: see $demographic-conflicts',
  'details-tried': 'an authority states differing details of a child again and again: see $demographic-conflicts',
  'details-agree': 'the authorities state the same birth date of a child again',
} as const;

/** Reports conflicts of details in the log, in the metrics and at the operator's webhook; `closing` closes it. */
export function openChildAlarms(
  { settings, store, clock, metrics, logger }: ChildAlarmsOptions,
  closing: AsyncDisposableStack,
): InteractionPorts['childEvents'] {
  const { alarmWebhookUrl: url } = settings;
  const onError = (error: unknown): void => logger.warn({ err: error }, 'the alarm webhook did not accept the alarm');
  const webhook = url === undefined ? undefined : openAlarmWebhook({ url, clock, onError });
  closing.defer(() => webhook?.close());
  const clauses = [{ kind: 'label', any: [needsLookLabel] }] as const;
  new Gauge({
    name: 'cpis_demographic_conflicts',
    help: 'Children whose details differ between authorities and that no operator has looked at: see $demographic-conflicts',
    registers: [metrics],
    async collect() {
      const { total = 0 } = await store.search({ type: childType, clauses, sort: [], limit: 0, total: true });
      this.set(total);
    },
  });
  return (events) => {
    for (const { code, authorityIds } of events) {
      const facts = { event: code, authorities: authorityIds };
      logger[code === 'details-agree' ? 'info' : 'warn'](facts, texts[code]);
      webhook?.report(facts);
    }
  };
}
