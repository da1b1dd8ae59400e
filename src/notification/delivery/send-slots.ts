/** A user of slots: a queue that can continue when one is free. */
export interface SlotUser {
  /** Slots in use. */
  readonly sending: number;
  resume(): void;
}

/**
 * Limits how many deliveries are sent in parallel, in total and for each queue. The first slot of a queue is its own
 * and outside the total, so that queues whose endpoints hang cannot stop another queue. Further slots are shared in
 * order of request.
 */
export class SendSlots {
  readonly #shared: number;
  readonly #perQueue: number;
  readonly #waiting = new Set<SlotUser>();
  #sharedInUse = 0;

  constructor(shared: number, perQueue: number) {
    this.#shared = shared;
    this.#perQueue = perQueue;
  }

  /** Whether the queue may send one more. If not, it is resumed when it may. The queue itself counts `sending`. */
  take(queue: SlotUser): boolean {
    if (queue.sending === 0) return true;
    if (queue.sending >= this.#perQueue) return false;
    if (this.#sharedInUse >= this.#shared) {
      this.#waiting.add(queue);
      return false;
    }
    this.#sharedInUse += 1;
    return true;
  }

  /** Gives a slot back. Call after `sending` has been reduced. */
  giveBack(queue: SlotUser): void {
    if (queue.sending > 0) this.#sharedInUse -= 1;
    // A queue with nothing left to send leaves the slot to the next.
    for (const next of [...this.#waiting]) {
      if (this.#sharedInUse >= this.#shared) return;
      this.#waiting.delete(next);
      next.resume();
    }
  }
}
