import type { Clock } from '../../clock/clock.ts';
import { fullRate, takeToken } from './rate-limit.ts';
import type { SendSlots, SlotUser } from './send-slots.ts';

/** What one queue may send: side by side by the slots, and one after the other by the rate. */
export class SendAllowance {
  readonly #slots: SendSlots;
  readonly #perSecond: number;
  readonly #clock: Pick<Clock, 'elapsed'>;
  #rate;

  constructor(slots: SendSlots, perSecond: number, clock: Pick<Clock, 'elapsed'>) {
    this.#slots = slots;
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#rate = fullRate(perSecond, clock.elapsed());
  }

  /**
   * A slot and a token of the rate: of one without the other nothing is taken. Otherwise the milliseconds until there is a
   * token; 0: the queue is resumed when there is a slot.
   */
  take(queue: SlotUser): 'taken' | number {
    const { limit, waitMs } = takeToken(this.#rate, this.#perSecond, this.#clock.elapsed());
    if (waitMs > 0) return waitMs;
    if (!this.#slots.take(queue)) return 0;
    this.#rate = limit;
    return 'taken';
  }

  giveBack(queue: SlotUser): void {
    this.#slots.giveBack(queue);
  }
}
