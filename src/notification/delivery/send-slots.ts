/** Who takes slots: a queue that can be told to go on. */
export interface SlotUser {
  /** Slots in use. */
  readonly sending: number;
  resume(): void;
}

/**
 * Bounds how much is sent at the same time, over all queues and per queue. The first slot of a queue is its own and outside
 * the common bound, so that queues whose endpoints hang can never stop another queue; further slots are shared in turn.
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

  /** Whether the queue may send one more; if not, it is resumed when it may. The queue counts `sending` itself. */
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

  /** Gives one back; call after `sending` has gone down. */
  giveBack(queue: SlotUser): void {
    if (queue.sending > 0) this.#sharedInUse -= 1;
    // One that has nothing to send any more leaves the slot to the next.
    for (const next of [...this.#waiting]) {
      if (this.#sharedInUse >= this.#shared) return;
      this.#waiting.delete(next);
      next.resume();
    }
  }
}
