/**
 * Shares the event loop between requests: long work runs in turns, with other requests in between. All long work of this
 * process shares one turn in each round of the event loop, however many requests it belongs to.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { Steps } from '../../fhir/steps.ts';

/** How long the work of one turn may take, before the step that exceeds it. */
const maxTurnMs = 5;
/** Maximum items of a list that are mapped at once. */
const shortList = 16;

/** A step that waits for a turn. `endsTurn` if its work follows the turn, so that no other step may run in it. */
interface Waiting {
  readonly run: () => void;
  readonly endsTurn: boolean;
}

let startedMs: number | undefined;
const owner = new AsyncLocalStorage<string>();
/** What waits for a turn: by owner, in the order in which the owners have their turns. */
const waiting = new Map<string, Waiting[]>();

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

/** Acts so that its turns count as those of `client`. Clients that wait have their turns one after another. */
export function withTurnsOf<T>(client: string, act: () => T): T {
  return owner.run(client, act);
}

/** Resolves in a round of the event loop in which no other long work runs. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => wait({ run: resolve, endsTurn: true }));
}

/** Runs a step at once if this turn has time left, or in a later one. */
export function inOneTurn<T>(step: () => T): Promise<T> {
  return new Promise((resolve, reject) => {
    const run = (): void => {
      try {
        resolve(step());
      } catch (error) {
        reject(error);
      }
    };
    if (waiting.size === 0 && !isTurnOver()) run();
    else wait({ run, endsTurn: false });
  });
}

function wait(step: Waiting): void {
  const own = owner.getStore() ?? '';
  if (waiting.size === 0) setImmediate(giveTurns);
  const queue = waiting.get(own);
  if (queue === undefined) waiting.set(own, [step]);
  else queue.push(step);
}

/** Runs steps until the turn is over, one of each owner after another. */
function giveTurns(): void {
  startedMs = undefined;
  let isOver = false;
  while (!isOver && !isTurnOver()) {
    const [next] = waiting;
    if (next === undefined) return;
    const [own, queue] = next;
    const step = queue.shift();
    waiting.delete(own);
    if (queue.length > 0) waiting.set(own, queue);
    step?.run();
    isOver = step?.endsTurn === true;
  }
  if (waiting.size > 0) setImmediate(giveTurns);
}

/** Runs the steps in as many turns as they need. */
export async function inTurns<T>(steps: Steps<T>): Promise<T> {
  const advance = (): IteratorResult<void, T> => {
    let result = steps.next();
    while (result.done !== true && !isTurnOver()) result = steps.next();
    return result;
  };
  while (true) {
    const { done, value } = await inOneTurn(advance);
    if (done === true) return value;
  }
}

/** Maps each item in order, in as many turns as it needs. A short list, as of a look-up, does not wait for a turn. */
export async function mapInTurns<T, R>(items: readonly T[], map: (item: T) => R): Promise<R[]> {
  if (items.length <= shortList) return items.map(map);
  return inTurns(mapInSteps(items, map));
}

function* mapInSteps<T, R>(items: readonly T[], map: (item: T) => R): Steps<R[]> {
  const results: R[] = [];
  for (const item of items) {
    results.push(map(item));
    yield;
  }
  return results;
}
