import { fault } from '../fhir/fault.ts';

/** Admission of interactions. */
export interface ConcurrencyLimit {
  /** Throws `transient` when as many as there may be are at work. */
  enter(): void;
  leave(): void;
}

export function buildConcurrencyLimit(maxConcurrent: number): ConcurrencyLimit {
  let atWork = 0;
  return {
    enter() {
      if (atWork >= maxConcurrent) {
        throw fault(
          'transient',
          'The server is at its limit of concurrent requests. Nothing was done: repeat the request after Retry-After.',
          { detail: 'overload' },
        );
      }
      atWork++;
    },
    leave() {
      atWork--;
    },
  };
}
