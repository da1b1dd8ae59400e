import type { Logger } from 'pino';
import { Counter, type Registry } from 'prom-client';

export interface EventNumberRegressionOptions {
  readonly logger: Pick<Logger, 'error'>;
  readonly register: Registry;
}

/** A subscriber knows a number of its Subscription that is higher than `last`, the last one that this server has given. */
export type EventNumberRegression = (authority: string, subscriptionId: string, last: number, known: number) => void;

/**
 * Tells operators that event numbers went back, as they do when the store was restored from a backup: nothing in the store
 * itself can know of it, a subscriber can. Once for each Subscription in the log, and each time in
 * `cpis_event_numbers_behind_total`.
 */
export function openEventNumberRegression({ logger, register }: EventNumberRegressionOptions): EventNumberRegression {
  const told = new Set<string>();
  const counter = new Counter({
    name: 'cpis_event_numbers_behind_total',
    help: 'Times that a subscriber asked for what comes behind an event number that was never given, by authority',
    labelNames: ['authority'],
    registers: [register],
  });
  return (authority, subscriptionId, last, known) => {
    counter.inc({ authority });
    if (told.has(subscriptionId)) return;
    told.add(subscriptionId);
    logger.error(
      { event: 'event-numbers-behind', authority, subscription: subscriptionId, last, known },
      'a subscriber knows event numbers that were never given: was the store restored from a backup?',
    );
  };
}
