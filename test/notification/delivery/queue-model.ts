import fc from 'fast-check';
import type { Admission } from '../../../src/notification/delivery/endpoints.ts';
import type { QueueEvent, QueueFacts } from '../../../src/notification/delivery/queue-events.ts';
import { newQueue, next, type QueueState, type Step } from '../../../src/notification/delivery/queue-state.ts';

export const pageSize = 8;

/** The choices of one step: which event, with what result, and under which facts. */
export interface Choice {
  readonly roll: number;
  readonly count: number;
  readonly admission: Admission;
  readonly storeWaitMs: number;
  readonly settlement: 'delivered' | 'failed' | 'unmatched' | 'released';
  readonly isLate: boolean;
}

export const anyChoice: fc.Arbitrary<Choice> = fc.record({
  roll: fc.nat(),
  count: fc.integer({ min: 0, max: pageSize }),
  admission: fc.constantFrom<Admission[]>('open', 'open', 'probe', 'untried-only', 'closed'),
  storeWaitMs: fc.constantFrom(0, 0, 0, 500),
  settlement: fc.constantFrom('delivered', 'failed', 'unmatched', 'released'),
  isLate: fc.boolean(),
});

/** Everything works, and the store holds nothing more. */
const calm: Choice = {
  ...{ roll: 0, count: 0, admission: 'open', storeWaitMs: 0, settlement: 'delivered', isLate: false },
};

/** A queue with a model of its surroundings. Every step throws if a rule of the queue is broken. */
export interface QueueModel {
  readonly state: QueueState;
  /** Feeds one possible event to the queue. */
  happen(choice: Choice): void;
  halt(choice: Choice): void;
  /** Ends one thing in flight with success. False if nothing is left to end or to do. */
  endOne(): boolean;
}

export function openQueueModel(): QueueModel {
  let state = newQueue;
  let [claimed, settling, requeues] = [0, 0, 0];
  let [claiming, rechecking] = [false, false];
  /** Whether the store may hold a due delivery that no claim has looked for since. */
  let unseen = true;
  /** Whether a recheck was requested after which no complete pass has run. */
  let unchecked = false;
  let passIsNew = false;

  function must(holds: boolean, rule: string): void {
    if (!holds)
      throw new Error(`${rule}: ${JSON.stringify({ state, claimed, settling, requeues, unseen, unchecked })}`);
  }

  function feed(event: QueueEvent, choice: Choice): Step {
    const { admission, storeWaitMs } = choice;
    const probeInMs = admission === 'closed' || admission === 'untried-only' ? 5_000 : undefined;
    const facts: QueueFacts = { admission, storeWaitMs, probeInMs, heldBackProbeInMs: undefined, pageSize };
    const step = next(state, event, facts);
    ({ state } = step);
    const mayAsk = admission !== 'closed' && storeWaitMs === 0;
    for (const [index, action] of step.actions.entries()) {
      must(!state.halted || action.kind === 'release', 'a halted queue does nothing but release');
      switch (action.kind) {
        case 'claim':
          must(!claiming && !rechecking, 'one claim or recheck at a time');
          must(mayAsk, 'no claim while closed, or while the store is left alone');
          must(!(admission === 'untried-only' && state.triedAll), 'no claim for events that have all failed');
          [claiming, unseen] = [true, false];
          break;
        case 'recheck':
          must(!claiming && !rechecking && settling + requeues + claimed === 0, 'a recheck runs alone');
          must(mayAsk && unchecked, 'no recheck without a request, while closed, or while the store is left alone');
          [rechecking, passIsNew] = [true, true];
          break;
        case 'requeue':
          requeues += 1;
          break;
        case 'release':
          must(claimed > 0, 'only what is in hand is released');
          [settling, claimed] = [settling + claimed, 0];
          break;
        case 'send':
          must(index === step.actions.length - 1 && claimed > 0, 'sending comes last');
          send(choice);
          break;
        case 'ask-due':
          must(claimed === 0 && !claiming && !state.dueUnknown, 'asks what is due when nothing more is');
          break;
        case 'set-timer':
          must(action.delayMs > 0, 'a timer has a time');
          break;
        default:
          throw action satisfies never;
      }
    }
    check();
    return step;
  }

  function check(): void {
    must(state.claimed === claimed, 'it knows how many are in hand');
    must(state.inFlight === settling + requeues + Number(claiming) + Number(rechecking), 'and how many in flight');
    if (state.halted) must(claimed === 0, 'a halted queue holds nothing');
    else {
      must(claiming || state.store !== 'drained' || !unseen, 'no wake is lost');
      must((state.recheck !== 'none') === unchecked, 'no recheck is lost');
    }
  }

  function send(choice: Choice): void {
    const { roll, admission } = choice;
    const started = admission === 'closed' ? 0 : Math.min(claimed, roll % (pageSize + 1));
    [claimed, settling] = [claimed - started, settling + started];
    const limited = (['limit', 'none-admitted', 'lease-ending'] as const)[roll % 3] ?? 'limit';
    const stopped = admission === 'closed' ? 'none-admitted' : limited;
    feed({ kind: 'sent', started, stop: claimed === 0 ? 'none-left' : stopped, admission }, choice);
  }

  /** Returns the events by which something in flight may end now. */
  function endings({ count, settlement, isLate }: Choice): QueueEvent[] {
    const events: QueueEvent[] = [];
    if (claiming) events.push({ kind: 'claimed', count, limit: pageSize }, { kind: 'claim-failed' });
    if (rechecking) events.push({ kind: 'rechecked', count, limit: pageSize }, { kind: 'recheck-failed' });
    if (requeues > 0) events.push({ kind: 'requeued' });
    const result = count === pageSize ? 'unknown' : 'recorded';
    if (settling > 0) events.push({ kind: 'settled', settlement, result, isLate });
    return events;
  }

  /** Applies the event to the model, before the queue sees it. */
  function apply(event: QueueEvent): void {
    if (event.kind === 'claimed' || event.kind === 'claim-failed') claiming = false;
    if (event.kind === 'rechecked' || event.kind === 'recheck-failed') rechecking = false;
    if (event.kind === 'claimed') claimed += event.count;
    if (event.kind === 'requeued') requeues -= 1;
    if (event.kind === 'settled') settling -= 1;
    if (event.kind === 'rechecked' && event.count < pageSize && passIsNew) unchecked = false;
    if (event.kind === 'restarted' || event.kind === 'recheck-requested') [unchecked, passIsNew] = [true, false];
    const finds = event.kind === 'claim-failed' || (event.kind === 'claimed' && event.count === pageSize);
    const brings = event.kind === 'rechecked' && event.count > 0;
    const gives = event.kind === 'settled' && event.settlement === 'released';
    unseen ||= finds || brings || gives || ['woken', 'due', 'requeued'].includes(event.kind);
  }

  function happen(event: QueueEvent, choice: Choice): Step {
    apply(event);
    return feed(event, choice);
  }

  return {
    get state() {
      return state;
    },
    happen(choice) {
      const signals = ['woken', 'due', 'resumed', 'restarted', 'recheck-requested', 'endpoint-recovered'] as const;
      const ends = endings(choice);
      const event = [...signals.map((kind) => ({ kind })), ...ends, ...ends, ...ends][
        choice.roll % (6 + 3 * ends.length)
      ];
      happen(event ?? { kind: 'held-back-due' }, choice);
    },
    halt: (choice) => void happen({ kind: 'halted' }, choice),
    endOne() {
      const [ending] = endings(calm);
      if (ending !== undefined) {
        happen(ending, calm);
        return true;
      }
      return happen({ kind: 'resumed' }, { ...calm, roll: pageSize }).actions.length > 0;
    },
  };
}
