import type { Logger } from 'pino';
import { Counter, Gauge, Histogram, type Registry as MetricRegistry } from 'prom-client';
import type { Clock } from '../clock/clock.ts';
import type { Demographics } from '../demographics/demographics.ts';
import { noDemographics } from '../demographics/no-demographics.ts';
import { openPds } from '../demographics/pds/open-pds.ts';
import { buildHostResolver } from '../notification/outbound-http/resolve-host.ts';
import type { Settings } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';

export interface DemographicsOptions {
  readonly settings: Pick<Settings, 'pds' | 'allowLoopbackEndpoints'>;
  readonly store: Pick<Store, 'useOnce'>;
  readonly clock: Clock;
  readonly metrics: MetricRegistry;
  readonly logger: Logger;
}

/** Opens the demographics service that the settings name; `closing` closes it. */
export function openDemographics(options: DemographicsOptions, closing: AsyncDisposableStack): Demographics {
  const { settings, store, clock, metrics, logger } = options;
  if (settings.pds === undefined) return noDemographics;
  const registers = [metrics];
  const requests = new Counter({
    name: 'cpis_demographics_requests_total',
    help: 'Requests to the demographics service, by outcome: answered, or the class of the failure.',
    labelNames: ['outcome'],
    registers,
  });
  const seconds = new Histogram({
    name: 'cpis_demographics_request_seconds',
    help: 'Time of a request to the demographics service, without its wait for the rate limit.',
    buckets: [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10],
    registers,
  });
  const up = new Gauge({
    name: 'cpis_demographics_up',
    help: 'Whether the demographics service answers: 0 after three failures, until it answers again.',
    registers,
  });
  up.set(1);
  const pds = openPds({
    ...settings.pds,
    resolve: buildHostResolver(),
    allowLoopback: settings.allowLoopbackEndpoints,
    store,
    clock,
    random: Math.random,
    onRequest(outcome, elapsedMs) {
      requests.inc({ outcome });
      seconds.observe(elapsedMs / 1_000);
    },
    onAvailability(isAvailable, reason) {
      up.set(isAvailable ? 1 : 0);
      if (isAvailable) logger.info({ event: 'demographics-available' }, 'the demographics service answers again');
      else {
        logger.warn(
          { event: 'demographics-unavailable', reason },
          'the demographics service does not answer: new plans and changed details are refused with 503 until it does',
        );
      }
    },
  });
  closing.defer(pds.close);
  return pds;
}
