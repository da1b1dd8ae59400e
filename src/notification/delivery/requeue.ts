import type { DeliveryQueue, RequeueOf } from '../../store/store.ts';

/** Deliveries that one write brings back: other writes wait for it no longer than for any other. */
const makeDueChunk = 500;

/** Makes everything of that kind due, in bounded writes, or `most` of it. How many it were; throws as the store does. */
export async function requeueAll(
  deliveries: Pick<DeliveryQueue, 'requeue'>,
  authority: string,
  nowMs: number,
  of: RequeueOf,
  most = Number.POSITIVE_INFINITY,
): Promise<number> {
  let total = 0;
  for (;;) {
    const limit = Math.min(makeDueChunk, most - total);
    const made = await deliveries.requeue(authority, nowMs, of, limit);
    total += made;
    if (made < makeDueChunk) return total;
  }
}
