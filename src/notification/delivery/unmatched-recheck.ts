import type { DeliveryQueue } from '../../store/store.ts';

/** Other servers' clocks may be ahead by so much, and what they set apart is of now. */
const skewMs = 10_000;

/**
 * What no Subscription asked for is set apart with a time. When the Subscriptions change, all that was set apart before is
 * looked at again, in small parts, each when nothing else is due.
 */
export class UnmatchedRecheck {
  #beforeMs = 0;
  #isWanted = false;

  /** Something is left to look at. */
  get isWanted(): boolean {
    return this.#isWanted;
  }

  /** From now on, epoch ms, everything that has been set apart is to be looked at. */
  ask(nowMs: number): void {
    this.#beforeMs = Math.max(nowMs, this.#beforeMs) + 1;
    this.#isWanted = true;
  }

  /** The time that an event is set apart with at `nowMs`: one that no sweep asked for so far reaches. */
  timeOf(nowMs: number): number {
    return Math.max(nowMs, this.#beforeMs);
  }

  /**
   * Makes the next `most` of them due; how many it were. To be called when no attempt is under way. Throws as the store
   * does.
   */
  async next(
    deliveries: Pick<DeliveryQueue, 'requeue'>,
    authority: string,
    most: number,
    nowMs: number,
  ): Promise<number> {
    const beforeMs = this.#beforeMs;
    const before = await deliveries.requeue(authority, beforeMs, 'unmatched', most);
    // A process before this one may have lived by a clock that was ahead: what it set apart is not of this sweep's time.
    const aheadMs = this.timeOf(nowMs) + skewMs;
    const made =
      before < most
        ? before + (await deliveries.requeue(authority, aheadMs, 'unmatched-ahead', most - before))
        : before;
    if (made < most && beforeMs === this.#beforeMs) this.#isWanted = false;
    return made;
  }
}
