import type { Logger } from 'pino';
import { Counter, Gauge, type Registry as MetricRegistry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import { type HeldNumbers, startTraceHeldNumbers } from '../demographics/background/trace-held-numbers.ts';
import type { InteractionPorts } from '../interactions/port/ports.ts';
import { storeView } from '../interactions/resource/view.ts';
import { visibilityRule } from '../interactions/resource/visibility-rule.ts';
import { buildChild } from '../interactions/write/child-record.ts';
import { reviewRecord } from '../interactions/write/review-children.ts';
import type { Settings } from '../settings/settings.ts';

export interface HeldNumbersOptions {
  readonly settings: Pick<Settings, 'pds'>;
  readonly ports: InteractionPorts;
  readonly clock: Clock;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
}

/** Part of the rate that the background may use. */
const backgroundShare = 0.2;

const texts = {
  replaced: 'an NHS number with plans was replaced: its authorities are notified',
  inactive: 'an NHS number with plans is no longer in use and has no replacement: its authorities are notified',
  sensitive: 'a record with plans is now sensitive: decide with its authorities whether the plans may still be shown',
  unlike:
    'an NHS number with plans was replaced by the number of a person whom no authority describes: they are not linked; ask the demographics service',
  loop: 'the demographics service contradicts itself about two NHS numbers: they stay linked as they were',
} as const;

/** Starts the trace of held numbers in the background; `closing` stops it. Undefined without a demographics service. */
export function openHeldNumbers(
  { settings, ports, clock, metrics, logger }: HeldNumbersOptions,
  closing: AsyncDisposableStack,
): HeldNumbers | undefined {
  const { demographics, store, newAuditId, baseUrl, committed } = ports;
  if (settings.pds === undefined) return undefined;
  const registers = [metrics];
  const findings = new Counter({
    name: 'cpis_held_number_findings_total',
    help: 'What traces of held NHS numbers found: replaced, inactive, sensitive, loop or unlike.',
    labelNames: ['finding'],
    registers,
  });
  const overdue = new Gauge({
    name: 'cpis_held_numbers_overdue',
    help: 'Held NHS numbers that were last traced 30 days ago or earlier, at the end of the last pass.',
    registers,
  });
  const numbers = startTraceHeldNumbers({
    ...{ demographics, store, newAuditId, baseUrl, committed, clock, now: clock.now },
    buildChild: (nhsNumber) => buildChild(nhsNumber, ports),
    rule: () => visibilityRule(ports),
    async review(nhsNumber, labels) {
      const { alarms, ...reviewed } = await reviewRecord(nhsNumber, labels, storeView(store), ports);
      return { ...reviewed, settled: () => ports.childEvents(alarms) };
    },
    paceMs: 1_000 / (settings.pds.ratePerSecond * backgroundShare),
    onFinding(finding) {
      findings.inc({ finding });
      logger.warn({ event: 'held-number', finding }, texts[finding]);
    },
    onPass: (count) => overdue.set(count),
    onError: (error) => logger.error({ err: error }, 'the trace of held NHS numbers failed and will be retried'),
  });
  closing.defer(numbers.stop);
  return numbers;
}
