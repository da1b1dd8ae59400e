/** Tasks that have begun and not ended. */
export class InFlight {
  readonly #tasks = new Set<Promise<void>>();
  readonly #onError: (error: unknown) => void;
  readonly #onEnded: () => void;

  /** `onError`: what a task rejected with. `onEnded`: after each of them. */
  constructor(onError: (error: unknown) => void, onEnded: () => void) {
    this.#onError = onError;
    this.#onEnded = onEnded;
  }

  get size(): number {
    return this.#tasks.size;
  }

  add(task: Promise<void>): void {
    const tracked = task.catch(this.#onError).then(() => {
      this.#tasks.delete(tracked);
      this.#onEnded();
    });
    this.#tasks.add(tracked);
  }

  /** Resolves when none is left. */
  async ended(): Promise<void> {
    while (this.#tasks.size > 0) await Promise.all(this.#tasks);
  }
}
