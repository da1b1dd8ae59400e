/** Numbers the events of Subscriptions without gaps. Each insert takes the next number; one of two concurrent inserts fails. */
import type { SubscriptionEvent, SubscriptionEvents } from '../../store.ts';
import { storeUnavailable } from '../../store-unavailable.ts';
import { isDuplicateKey, withFaults } from '../connection/mongo-failure.ts';
import type { Collections } from '../encoding/documents.ts';

const pauseMs = 5;

export function openSubscriptionEvents(collections: Collections, timeLimitMs: number): SubscriptionEvents {
  const { subscriptionEvent, subscriptionAcknowledged } = collections;

  async function last(subscription: string): Promise<number> {
    const options = { sort: { number: -1 }, limit: 1 } as const;
    const [found] = await subscriptionEvent.find({ subscription: { $eq: subscription } }, options).toArray();
    return found?.number ?? 0;
  }

  async function numbersOf(subscription: string, ids: readonly string[]): Promise<ReadonlyMap<string, number>> {
    const filter = { subscription: { $eq: subscription }, auditId: { $in: [...ids] } };
    const found = await subscriptionEvent.find(filter).toArray();
    return new Map(found.map(({ auditId, number }) => [auditId, number]));
  }

  async function append(subscription: string, auditIds: readonly string[]): Promise<readonly number[]> {
    const wanted = [...new Set(auditIds)];
    const deadlineMs = performance.now() + timeLimitMs;
    while (true) {
      const known = await numbersOf(subscription, wanted);
      const missing = wanted.filter((id) => !known.has(id));
      if (missing.length === 0) return auditIds.map((id) => known.get(id) ?? 0);
      const next = (await last(subscription)) + 1;
      const events = missing.map((auditId, index) => ({
        _id: `${subscription}/${next + index}`,
        subscription,
        number: next + index,
        auditId,
      }));
      try {
        // Ordered, so that it ends at the first number that another server has taken.
        await subscriptionEvent.insertMany(events, { ordered: true });
      } catch (error) {
        if (!isDuplicateKey(error)) throw error;
        if (performance.now() > deadlineMs) throw storeUnavailable('mongo-contention');
        await new Promise((resolve) => setTimeout(resolve, pauseMs * Math.random()));
      }
    }
  }

  async function range(
    subscription: string,
    since: number,
    until: number,
    limit: number,
  ): Promise<SubscriptionEvent[]> {
    const filter = { subscription: { $eq: subscription }, number: { $gte: since, $lte: until } };
    const options = { projection: { _id: 0, number: 1, auditId: 1 }, sort: { number: 1 }, limit } as const;
    return (await subscriptionEvent.find(filter, options).toArray()).map(({ number, auditId }) => ({
      number,
      auditId,
    }));
  }

  return {
    append: (subscriptionId, auditIds) => withFaults(() => append(subscriptionId, auditIds)),
    last: (subscriptionId) => withFaults(() => last(subscriptionId)),
    range: (subscriptionId, since, until, limit) => withFaults(() => range(subscriptionId, since, until, limit)),
    acknowledge: (subscriptionId, through) =>
      withFaults(async () => {
        const move = () =>
          subscriptionAcknowledged.updateOne(
            { _id: { $eq: subscriptionId } },
            { $max: { number: through } },
            { upsert: true },
          );
        // If two servers insert the first one concurrently, the second one updates.
        await move().catch((error: unknown) => (isDuplicateKey(error) ? move() : Promise.reject(error)));
      }),
    acknowledged: (subscriptionId) =>
      withFaults(async () => (await subscriptionAcknowledged.findOne({ _id: { $eq: subscriptionId } }))?.number ?? 0),
  };
}
