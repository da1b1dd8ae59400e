import { setImmediate as nextTurn } from 'node:timers/promises';

let last: Promise<void> = Promise.resolve();

/**
 * Resolves in a turn of the event loop that no other caller of this function shares. Expensive steps that each await it
 * run in separate turns, with other requests in between.
 */
export function serializedYield(): Promise<void> {
  last = last.then(() => nextTurn());
  return last;
}
