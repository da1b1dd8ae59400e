import type { Clock } from '../../clock/clock.ts';
import type { ClaimedDelivery, DeliveryQueue, Settlement } from '../../store/store.ts';

const maxTries = 5;
const firstWaitMs = 200;

/**
 * Records a settlement, and tries again while the store fails. `stale`: it changed nothing. `unknown`: the store never
 * took it; the lease expires and the delivery is repeated.
 */
export async function settleDelivery(
  delivery: ClaimedDelivery,
  settlement: Settlement,
  deliveries: Pick<DeliveryQueue, 'settle'>,
  clock: Clock,
  onError: (error: unknown) => void,
): Promise<'recorded' | 'stale' | 'unknown'> {
  for (let tries = 1; tries <= maxTries; tries += 1) {
    try {
      return (await deliveries.settle(delivery, settlement)) ? 'recorded' : 'stale';
    } catch (error) {
      onError(error);
      if (tries < maxTries) await new Promise<void>((resolve) => clock.after(firstWaitMs * 2 ** tries, resolve));
    }
  }
  return 'unknown';
}
