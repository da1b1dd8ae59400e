import type { Clock } from '../../clock/clock.ts';
import { openTimers, type Timers } from '../../clock/timers.ts';
import { fullRate, takeToken } from './rate-limit.ts';
import type { SendSlots, SlotUser } from './send-slots.ts';

/** What one queue may send: in parallel as the slots allow, and over time as its rate allows. */
export class SendAllowance implements SlotUser {
  readonly #slots: SendSlots;
  readonly #perSecond: number;
  readonly #clock: Pick<Clock, 'elapsed'>;
  readonly #timers: Timers<'rate'>;
  readonly #onFree: () => void;
  #rate;
  #sending = 0;

  /** `onFree`: called when more may be sent after `take` was refused. Spurious calls are possible. */
  constructor(slots: SendSlots, perSecond: number, clock: Pick<Clock, 'elapsed' | 'after'>, onFree: () => void) {
    this.#slots = slots;
    this.#perSecond = perSecond;
    this.#clock = clock;
    this.#timers = openTimers(clock);
    this.#onFree = onFree;
    this.#rate = fullRate(perSecond, clock.elapsed());
  }

  get sending(): number {
    return this.#sending;
  }

  resume(): void {
    this.#onFree();
  }

  /** Takes both a slot and a token of the rate, or neither. */
  take(): boolean {
    const { limit, waitMs } = takeToken(this.#rate, this.#perSecond, this.#clock.elapsed());
    if (waitMs > 0) {
      this.#timers.set('rate', waitMs, () => this.resume());
      return false;
    }
    if (!this.#slots.take(this)) return false;
    this.#rate = limit;
    this.#sending += 1;
    return true;
  }

  giveBack(): void {
    this.#sending -= 1;
    this.#slots.giveBack(this);
  }

  /** Cancels the timer of the rate. */
  close(): void {
    this.#timers.clear();
  }
}
