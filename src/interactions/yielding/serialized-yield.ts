import { setImmediate as nextTurn } from 'node:timers/promises';

let last: Promise<void> = Promise.resolve();

/**
 * Resolves in a turn of the event loop of its own: what is done next shares it with nobody else who asked here, however
 * many do at once, and other requests have theirs in between.
 */
export function serializedYield(): Promise<void> {
  last = last.then(() => nextTurn());
  return last;
}
