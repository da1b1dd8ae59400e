import type { Clock } from '../../clock/clock.ts';

const firstWaitMs = 500;
const longestWaitMs = 30_000;

/** A store that failed is left alone for a while, longer each time. */
export class StoreBackoff {
  readonly #clock: Pick<Clock, 'elapsed'>;
  #failures = 0;
  #retryAtMs = 0;

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock;
  }

  /** Milliseconds until it may be asked again; not above 0: now. */
  get waitMs(): number {
    return this.#retryAtMs - this.#clock.elapsed();
  }

  /** Asks it, and remembers whether it answered. Rejects as the call does. */
  async ask<T>(call: () => Promise<T>): Promise<T> {
    try {
      const answer = await call();
      this.#failures = 0;
      return answer;
    } catch (error) {
      this.#retryAtMs = this.#clock.elapsed() + Math.min(firstWaitMs * 2 ** this.#failures, longestWaitMs);
      this.#failures += 1;
      throw error;
    }
  }
}
