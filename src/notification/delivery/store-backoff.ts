import type { Clock } from '../../clock/clock.ts';

const firstWaitMs = 500;
const longestWaitMs = 30_000;

/** Leaves a store alone after a failure, longer each time. */
export class StoreBackoff {
  readonly #clock: Pick<Clock, 'elapsed'>;
  #failures = 0;
  #retryAtMs = 0;

  constructor(clock: Pick<Clock, 'elapsed'>) {
    this.#clock = clock;
  }

  /** Returns the milliseconds until the store may be asked again; 0 or less: now. */
  get waitMs(): number {
    return this.#retryAtMs - this.#clock.elapsed();
  }

  /** Calls the store and records whether it responded. Rejects if the call does. */
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
