/**
 * Work that may take long, in steps that do not: the caller may let other work run between them. `finishSteps` runs all
 * of them at once.
 */
export type Steps<T> = Generator<void, T, void>;

/** Runs all steps at once, and returns the result. */
export function finishSteps<T>(steps: Steps<T>): T {
  while (true) {
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}
