import type { Clock } from '../../clock/clock.ts';
import type { ClaimedDelivery, DeliveryQueue, SubscriptionEvents } from '../../store/store.ts';
import type { Subscriptions, UsableSubscription } from '../subscriptions/usable-subscription.ts';

export interface AcknowledgementContext {
  readonly subscriptionEvents: Pick<SubscriptionEvents, 'range' | 'acknowledge' | 'acknowledged'>;
  readonly deliveries: Pick<DeliveryQueue, 'settle'>;
  readonly subscriptions: Pick<Subscriptions, 'usable'>;
  readonly clock: Pick<Clock, 'now'>;
}

const pageSize = 200;

/**
 * Records durably that the subscriber of a websocket channel has received everything up to this number. If it is the
 * only Subscription of its authority, the deliveries are settled now; otherwise they are settled when they are next
 * tried.
 */
export async function settleAcknowledged(
  to: UsableSubscription,
  through: number,
  { subscriptionEvents, deliveries, subscriptions, clock }: AcknowledgementContext,
): Promise<void> {
  const before = await subscriptionEvents.acknowledged(to.id);
  await subscriptionEvents.acknowledge(to.id, through);
  const usable = subscriptions.usable(to.owner);
  if (usable.length !== 1 || usable[0]?.id !== to.id) return;
  for (let from = before + 1; from <= through; from += pageSize) {
    const page = await subscriptionEvents.range(to.id, from, Math.min(through, from + pageSize - 1), pageSize);
    await Promise.all(
      page.map(({ auditId }) => {
        const delivery: ClaimedDelivery = {
          auditId,
          authority: to.owner,
          recordedMs: 0,
          body: '',
          attempts: 0,
          acknowledgedBy: [],
          parked: false,
          leaseToken: '',
        };
        return deliveries.settle(delivery, { kind: 'delivered', acknowledgedBy: [to.id], atMs: clock.now() });
      }),
    );
  }
}
