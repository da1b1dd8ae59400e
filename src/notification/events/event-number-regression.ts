import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';

export interface EventNumberRegressionOptions {
  readonly logger: Pick<Logger, 'error'>;
  readonly register: Registry;
}

/**
 * Call when a subscriber knows a higher event number of its Subscription than `last`, the last one that this server has
 * given.
 */
export type EventNumberRegression = (authority: string, subscriptionId: string, last: number, known: number) => void;

/**
 * Reports to operators that event numbers have gone back, as they do when the store was restored from a backup. Only a
 * subscriber can know: the store itself holds no trace of it. Each Subscription is logged once, and each report counted
 * in `cpis_event_numbers_behind_total`.
 */
export function openEventNumberRegression({ logger, register }: EventNumberRegressionOptions): EventNumberRegression {
  const reported = new Set<string>();
  const counter = new Counter({
    name: 'cpis_event_numbers_behind_total',
    help: 'Requests of subscribers that know a higher event number than the server has given, by authority',
    labelNames: ['authority'],
    registers: [register],
  });
  return (authority, subscriptionId, last, known) => {
    counter.inc({ authority });
    if (reported.has(subscriptionId)) return;
    reported.add(subscriptionId);
    logger.error(
      { event: 'event-numbers-behind', authority, subscription: subscriptionId, last, known },
      'a subscriber knows event numbers that this server has not given: check whether the store was restored from a backup',
    );
  };
}
