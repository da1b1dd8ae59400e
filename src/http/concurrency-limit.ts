import { fault } from '../fhir/fault.ts';

/** Limits how many interactions run at the same time. */
export interface ConcurrencyLimit {
  /** Throws `transient` if the maximum is running. */
  enter(): void;
  leave(): void;
}

export function buildConcurrencyLimit(maxConcurrent: number): ConcurrencyLimit {
  let running = 0;
  return {
    enter() {
      if (running >= maxConcurrent) {
        throw fault(
          'transient',
          'The server is at its limit of concurrent requests. Nothing was done: repeat the request after Retry-After.',
          { detail: 'overload' },
        );
      }
      running++;
    },
    leave() {
      running--;
    },
  };
}
