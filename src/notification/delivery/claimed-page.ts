import type { ClaimedDelivery } from '../../store/store.ts';

/** Deliveries that are leased from the store and not being sent yet. */
export class ClaimedPage {
  #deliveries: ClaimedDelivery[] = [];
  #leaseEndMs = 0;

  /** Returns them oldest first, as claimed. */
  get deliveries(): readonly ClaimedDelivery[] {
    return this.#deliveries;
  }

  get size(): number {
    return this.#deliveries.length;
  }

  /** Adds a page whose lease ends at `leaseEndMs`, epoch ms. The earliest end counts for all. */
  add(page: readonly ClaimedDelivery[], leaseEndMs: number): void {
    this.#leaseEndMs = this.size > 0 ? Math.min(this.#leaseEndMs, leaseEndMs) : leaseEndMs;
    this.#deliveries.push(...page);
  }

  /** Whether the lease outlasts an attempt that begins now and takes up to `deadlineMs`. */
  outlives(nowMs: number, deadlineMs: number): boolean {
    return nowMs + deadlineMs < this.#leaseEndMs;
  }

  take(delivery: ClaimedDelivery): void {
    this.#deliveries = this.#deliveries.filter((claimed) => claimed !== delivery);
  }

  takeAll(): readonly ClaimedDelivery[] {
    const all = this.#deliveries;
    this.#deliveries = [];
    return all;
  }
}
