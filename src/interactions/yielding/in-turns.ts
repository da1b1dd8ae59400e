/**
 * Shares the event loop between requests: long work runs in turns, with other requests in between. All long work of this
 * process shares one turn in each round of the event loop, however many requests it belongs to.
 */
import { setImmediate as nextRound } from 'node:timers/promises';
import type { Steps } from '../../fhir/steps.ts';

/** How long the work of one turn may take, before the step that exceeds it. */
const maxTurnMs = 5;

let startedMs: number | undefined;
let last: Promise<void> = Promise.resolve();

/** Returns true if long work has used up this turn of the event loop. */
export function isTurnOver(): boolean {
  const nowMs = performance.now();
  if (startedMs === undefined) {
    startedMs = nowMs;
    setImmediate(() => {
      startedMs = undefined;
    });
  }
  return nowMs - startedMs > maxTurnMs;
}

/** Resolves in a round of the event loop in which no other caller of this function runs. */
export function nextTurn(): Promise<void> {
  last = last.then(() => nextRound());
  return last;
}

/** Runs the steps in as many turns as they need. */
export async function inTurns<T>(steps: Steps<T>): Promise<T> {
  while (true) {
    if (isTurnOver()) await nextTurn();
    const { done, value } = steps.next();
    if (done === true) return value;
  }
}

/** Maps each item in order, in as many turns as it needs. */
export async function mapInTurns<T, R>(items: readonly T[], map: (item: T) => R): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) {
    if (isTurnOver()) await nextTurn();
    results.push(map(item));
  }
  return results;
}
