/**
 * Decides what the queue of one authority does next: a pure function of its state, an event, and what it can see of its
 * endpoints and its store. AuthorityQueue carries out the actions and reports how each of them ended.
 */
import type { Admission } from './endpoints.ts';
import type { QueueAction, QueueEvent, QueueFacts } from './queue-events.ts';

export interface QueueState {
  /** Nothing is started any more; deliveries in hand are given back. */
  readonly halted: boolean;
  /**
   * Whether the store may have due deliveries. `claiming-again`: during the claim something happened that it may have
   * missed, so that another claim follows. `drained`: the last claim found less than it asked for.
   */
  readonly store: 'may-have-due' | 'claiming' | 'claiming-again' | 'drained';
  /** Deliveries claimed and not yet sent. */
  readonly claimed: number;
  /** Claims, attempts, settlements, requeues and rechecks that have not ended. */
  readonly inFlight: number;
  /**
   * The recheck of unmatched events. `wanted`: when nothing else is due. `first`: before the next claim, because all
   * events in hand have failed before. `running-again`: requested once more while it runs.
   */
  readonly recheck: 'none' | 'wanted' | 'first' | 'running' | 'running-again';
  /** Every due event has failed while only untried ones are admitted, and none has been added since. */
  readonly triedAll: boolean;
  /** A delivery may become due for which no timer is set. */
  readonly dueUnknown: boolean;
}

export interface Step {
  readonly state: QueueState;
  readonly actions: readonly QueueAction[];
}

export const newQueue: QueueState = {
  halted: false,
  store: 'may-have-due',
  claimed: 0,
  inFlight: 0,
  recheck: 'none',
  triedAll: false,
  dueUnknown: false,
};

const maxInFlight = 256;

/** Returns the state after an event, and the actions to carry out in their order. */
export function next(before: QueueState, event: QueueEvent, facts: QueueFacts): Step {
  const { state, actions } = apply(before, event, facts.pageSize);
  if (state.halted) return release(state);
  // What to ask of the store depends on what is left after sending.
  if (state.claimed > 0 && event.kind !== 'sent') return { state, actions: [...actions, { kind: 'send' }] };
  const planned = plan(state, facts);
  return { state: planned.state, actions: [...actions, ...planned.actions] };
}

/** Records what the event says, with the actions that follow whatever else is going on. */
function apply(state: QueueState, event: QueueEvent, pageSize: number): Step {
  switch (event.kind) {
    case 'woken':
      return only({ ...dueAgain(state), triedAll: false });
    case 'due':
      return only({ ...dueAgain(state), dueUnknown: true });
    case 'resumed':
      return only(state);
    case 'restarted':
      return requeue(requestRecheck(state), undefined);
    case 'recheck-requested':
      return only(requestRecheck(state));
    case 'endpoint-recovered':
      return requeue(state, undefined);
    case 'held-back-due':
      return requeue(state, pageSize);
    case 'requeued':
      return only(dueAgain(ended(state)));
    case 'claimed': {
      const isDrained = event.count < event.limit && state.store === 'claiming';
      const store = isDrained ? 'drained' : 'may-have-due';
      return only({ ...ended(state), store, claimed: state.claimed + event.count });
    }
    case 'claim-failed':
      return only({ ...ended(state), store: 'may-have-due' });
    case 'sent':
      return applySent(state, event);
    case 'settled':
      return applySettled(ended(state), event);
    case 'rechecked': {
      const isOver = event.count < event.limit && state.recheck === 'running';
      const after: QueueState = { ...ended(state), recheck: isOver ? 'none' : 'wanted' };
      return only(event.count > 0 ? dueAgain(after) : after);
    }
    case 'recheck-failed':
      return only({ ...ended(state), recheck: 'wanted' });
    case 'halted':
      return only({ ...state, halted: true });
    default:
      throw event satisfies never;
  }
}

function applySent(before: QueueState, { started, stop, admission }: Extract<QueueEvent, { kind: 'sent' }>): Step {
  const state = { ...before, claimed: before.claimed - started, inFlight: before.inFlight + started };
  if (stop === 'none-left' || stop === 'limit') return only(state);
  const { state: released, actions } = release(state);
  if (stop === 'lease-ending' || admission === 'closed') return { state: released, actions };
  if (released.recheck === 'wanted') return { state: { ...released, recheck: 'first' }, actions };
  return { state: { ...released, triedAll: admission === 'untried-only' && released.recheck === 'none' }, actions };
}

function applySettled(
  state: QueueState,
  { settlement, result, isLate }: Extract<QueueEvent, { kind: 'settled' }>,
): Step {
  if (settlement === 'released') return only(dueAgain(state));
  const after = settlement === 'failed' || result === 'unknown' ? { ...state, dueUnknown: true } : state;
  // A requeue reaches only waiting deliveries: this one was leased at the time.
  return settlement === 'failed' && result === 'recorded' && isLate ? requeue(after, undefined) : only(after);
}

/** Decides what to ask of the store, once no delivery in hand can be sent. */
function plan(state: QueueState, facts: QueueFacts): Step {
  const { heldBackProbeInMs } = facts;
  const { state: after, actions } = askStore(state, facts);
  if (heldBackProbeInMs === undefined) return { state: after, actions };
  return { state: after, actions: [...actions, { kind: 'set-timer', timer: 'held-back', delayMs: heldBackProbeInMs }] };
}

function askStore(state: QueueState, facts: QueueFacts): Step {
  const { store, claimed, inFlight, recheck } = state;
  if (store === 'claiming' || store === 'claiming-again') return only(state);
  if (recheck === 'running' || recheck === 'running-again') return only(state);
  const admission = state.triedAll && facts.admission === 'untried-only' ? 'closed' : facts.admission;
  if (recheck === 'first') {
    return claimed > 0 || inFlight > 0 ? only(state) : askUnlessClosed(state, startRecheck, admission, facts);
  }
  if (store === 'drained') {
    if (claimed > 0) return only(state);
    // While every endpoint is closed nothing is rechecked: events would be owed again, and look overdue.
    const step =
      recheck === 'none' || inFlight > 0 ? only(state) : askUnlessClosed(state, startRecheck, admission, facts);
    if (!state.dueUnknown) return step;
    return { state: { ...step.state, dueUnknown: false }, actions: [{ kind: 'ask-due' }, ...step.actions] };
  }
  const enough = admission === 'open' ? facts.pageSize / 4 : 0;
  if (admission !== 'closed' && (claimed > enough || inFlight >= maxInFlight)) return only(state);
  return askUnlessClosed(state, startClaim, admission, facts);
}

type Ask = (state: QueueState, pageSize: number) => Step;

const startClaim: Ask = (state, limit) => ({
  state: { ...state, store: 'claiming', inFlight: state.inFlight + 1 },
  actions: [{ kind: 'claim', limit }],
});

const startRecheck: Ask = (state, limit) => ({
  state: { ...state, recheck: 'running', inFlight: state.inFlight + 1 },
  actions: [{ kind: 'recheck', limit }],
});

/** While every endpoint is closed the store is not asked: a timer is set for the next probe. */
function askUnlessClosed(state: QueueState, ask: Ask, admission: Admission, facts: QueueFacts): Step {
  if (admission !== 'closed') return askIfReady(state, ask, facts);
  const { probeInMs } = facts;
  if (probeInMs === undefined) return only(state);
  return { state, actions: [{ kind: 'set-timer', timer: 'probe', delayMs: probeInMs }] };
}

/** A store that failed is left alone for a while. */
function askIfReady(state: QueueState, ask: Ask, { storeWaitMs, pageSize }: QueueFacts): Step {
  if (storeWaitMs <= 0) return ask(state, pageSize);
  return { state, actions: [{ kind: 'set-timer', timer: 'store', delayMs: storeWaitMs }] };
}

const only = (state: QueueState): Step => ({ state, actions: [] });

const ended = (state: QueueState): QueueState => ({ ...state, inFlight: state.inFlight - 1 });

/** The store may have something due that the last claim, or the one that runs, has not found. */
function dueAgain(state: QueueState): QueueState {
  const isClaiming = state.store === 'claiming' || state.store === 'claiming-again';
  return { ...state, store: isClaiming ? 'claiming-again' : 'may-have-due' };
}

function requestRecheck(state: QueueState): QueueState {
  if (state.recheck === 'first') return state;
  const isRunning = state.recheck === 'running' || state.recheck === 'running-again';
  return { ...state, recheck: isRunning ? 'running-again' : 'wanted' };
}

function requeue(state: QueueState, limit: number | undefined): Step {
  if (state.halted) return only(state);
  return { state: { ...state, inFlight: state.inFlight + 1 }, actions: [{ kind: 'requeue', limit }] };
}

function release(state: QueueState): Step {
  if (state.claimed === 0) return only(state);
  return {
    state: { ...state, claimed: 0, inFlight: state.inFlight + state.claimed },
    actions: [{ kind: 'release' }],
  };
}
