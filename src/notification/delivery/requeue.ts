import type { DeliveryQueue, RequeueOf } from '../../store/store.ts';

/** Maximum deliveries requeued in one write, so that other writes do not wait longer than usual. */
const requeueChunk = 500;

/**
 * Requeues all deliveries of that kind, or up to `limit`, in bounded writes. Returns the count. Rejects if the store
 * fails.
 */
export async function requeueAll(
  deliveries: Pick<DeliveryQueue, 'requeue'>,
  authority: string,
  nowMs: number,
  of: RequeueOf,
  limit = Number.POSITIVE_INFINITY,
): Promise<number> {
  let total = 0;
  for (;;) {
    const chunk = Math.min(requeueChunk, limit - total);
    const requeued = await deliveries.requeue(authority, nowMs, of, chunk);
    total += requeued;
    if (requeued < requeueChunk) return total;
  }
}
