import { longestDelayMs, retryDelayMs } from './schedule.ts';

/**
 * Whether one endpoint may be sent to. Open while it answers. After a failure it is shut until its next try, when one
 * notification is let through as a probe; a failed probe shuts it for longer, an answer opens it.
 */
export class EndpointGate {
  readonly #random: () => number;
  #failures = 0;
  #retryAtMs = 0;
  /** Grows at each counted failure: attempts that had begun before it say nothing new about the endpoint. */
  #round = 0;
  #throttled = false;
  #probing = false;

  constructor(random: () => number) {
    this.#random = random;
  }

  /** Failures in a row; attempts that ran side by side count as one. */
  get failures(): number {
    return this.#failures;
  }

  /** When the next probe may go, epoch ms; 0 while open. */
  get retryAtMs(): number {
    return this.#retryAtMs;
  }

  state(nowMs: number): 'open' | 'probe' | 'shut' {
    if (this.#failures === 0) return 'open';
    if (this.#probing) return 'shut';
    // Further away than any schedule puts it: the wall clock was set back.
    const waitMs = this.#retryAtMs - nowMs;
    return waitMs <= 0 || waitMs > longestDelayMs ? 'probe' : 'shut';
  }

  /** An attempt begins; hand the number back with its result. */
  begin(): number {
    if (this.#failures > 0) this.#probing = true;
    return this.#round;
  }

  /** The endpoint answered. Returns how many failures in a row that ends. */
  answered(round: number): number {
    if (round < this.#round && this.#throttled) return 0;
    const ended = this.#failures;
    this.#failures = 0;
    this.#retryAtMs = 0;
    this.#throttled = false;
    this.#probing = false;
    return ended;
  }

  /** The endpoint failed; `retryAfterMs` is what it asked for. */
  failed(round: number, nowMs: number, retryAfterMs: number | undefined): void {
    if (round < this.#round) return;
    this.#round += 1;
    this.#failures += 1;
    this.#retryAtMs = nowMs + retryDelayMs(this.#failures, this.#random, retryAfterMs);
    this.#throttled = retryAfterMs !== undefined;
    this.#probing = false;
  }
}
