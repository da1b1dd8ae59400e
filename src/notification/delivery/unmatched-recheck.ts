import type { DeliveryQueue } from '../../store/store.ts';

/** Maximum that the clocks of other servers are ahead; a timestamp further ahead comes from a clock that was set back. */
const skewMs = 10_000;

/**
 * Brings back, part by part, the events that were marked unmatched before a recheck was requested. Each carries the time of
 * the mark, so that events that stay unmatched are not returned again in the same pass.
 */
export class UnmatchedRecheck {
  #beforeMs = 0;

  /** Requests a recheck of all events that are marked at `nowMs`, epoch ms. */
  ask(nowMs: number): void {
    this.#beforeMs = Math.max(nowMs, this.#beforeMs) + 1;
  }

  /** Returns the timestamp for a newly unmatched event, later than any recheck already requested. */
  timeOf(nowMs: number): number {
    return Math.max(nowMs, this.#beforeMs);
  }

  /**
   * Makes up to `limit` more of them due, and returns the count: fewer than `limit` means that none is left. Call only when
   * no attempt is in flight. Rejects if the store fails.
   */
  async next(
    deliveries: Pick<DeliveryQueue, 'requeue'>,
    authority: string,
    limit: number,
    nowMs: number,
  ): Promise<number> {
    const before = await deliveries.requeue(authority, this.#beforeMs, 'unmatched', limit);
    if (before === limit) return before;
    // An earlier process may have used a clock that was ahead: its marks are later than this recheck.
    const aheadMs = this.timeOf(nowMs) + skewMs;
    return before + (await deliveries.requeue(authority, aheadMs, 'unmatched-ahead', limit - before));
  }
}
