import type { DeliveryQueue, MakeDueOf } from '../store/store.ts';

/** Deliveries that one write brings back: other writes wait for it no longer than for any other. */
export const makeDueChunk = 500;

/** Makes everything of that kind due, in bounded writes. How many it were; throws as the store does. */
export async function makeAllDue(
  deliveries: Pick<DeliveryQueue, 'makeDue'>,
  authority: string,
  nowMs: number,
  of: MakeDueOf,
): Promise<number> {
  let total = 0;
  for (;;) {
    const made = await deliveries.makeDue(authority, nowMs, of, makeDueChunk);
    total += made;
    if (made < makeDueChunk) return total;
  }
}
