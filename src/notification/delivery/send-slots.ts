/** Who takes slots: a lane that can be told to go on. */
export interface SlotUser {
  /** Slots in use. */
  readonly sending: number;
  resume(): void;
}

/**
 * Bounds how much is sent at the same time, over all lanes and per lane. The first slot of a lane is its own and outside
 * the common bound, so that lanes whose endpoints hang can never stop another lane; further slots are shared in turn.
 */
export class SendSlots {
  readonly #shared: number;
  readonly #perLane: number;
  readonly #waiting = new Set<SlotUser>();
  #sharedInUse = 0;

  constructor(shared: number, perLane: number) {
    this.#shared = shared;
    this.#perLane = perLane;
  }

  /** Whether the lane may send one more; if not, it is resumed when it may. The lane counts `sending` itself. */
  take(lane: SlotUser): boolean {
    if (lane.sending === 0) return true;
    if (lane.sending >= this.#perLane) return false;
    if (this.#sharedInUse >= this.#shared) {
      this.#waiting.add(lane);
      return false;
    }
    this.#sharedInUse += 1;
    return true;
  }

  /** Gives one back; call after `sending` has gone down. */
  giveBack(lane: SlotUser): void {
    if (lane.sending > 0) this.#sharedInUse -= 1;
    // One that has nothing to send any more leaves the slot to the next.
    for (const next of [...this.#waiting]) {
      if (this.#sharedInUse >= this.#shared) return;
      this.#waiting.delete(next);
      next.resume();
    }
  }
}
