import { Registry } from 'prom-client';
import type { Test } from 'tap';
import { startDeliveryMonitor } from '../../src/notification/alarms/delivery-monitor.ts';
import type { ManualClock } from '../support/manual-clock.ts';
import type { DeliveryWorld } from './delivery-world.ts';

/** Starts the delivery monitor of a world, and collects the alarms raised, as `level kind`. */
export function collectAlarms(test: Test, { store, dispatcher }: DeliveryWorld, clock: ManualClock): string[] {
  const raised: string[] = [];
  const note = (facts: { event?: string; hours?: number; kind?: string }): void => {
    raised.push(facts.event === 'delivery-alarm' ? `${facts.hours} ${facts.kind}` : `${facts.event}`);
  };
  const watch = startDeliveryMonitor({
    authorities: () => [],
    deliveries: store.deliveries,
    dispatcher,
    clock,
    aheadMs: () => 0,
    register: new Registry(),
    logger: { info: note, warn: note, error: note },
    webhookUrl: undefined,
  });
  test.teardown(() => watch.stop());
  return raised;
}
