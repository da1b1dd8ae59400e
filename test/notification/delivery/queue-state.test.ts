/** The rules of the queue of one authority, as examples and as properties over random events. */
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { QueueAction, QueueEvent, QueueFacts } from '../../../src/notification/delivery/queue-events.ts';
import { newQueue, next, type QueueState } from '../../../src/notification/delivery/queue-state.ts';
import { anyChoice, openQueueModel, pageSize } from './queue-model.ts';

const calm: QueueFacts = {
  admission: 'open',
  probeInMs: undefined,
  heldBackProbeInMs: undefined,
  storeWaitMs: 0,
  pageSize,
};
const kindsOf = (actions: readonly QueueAction[]): string[] => actions.map(({ kind }) => kind);

/** Feeds the events and checks the actions after each. Returns the last state. */
function follow(
  t: Test,
  rows: readonly (readonly [event: QueueEvent, facts: Partial<QueueFacts>, expected: readonly string[]])[],
  from: QueueState = newQueue,
): QueueState {
  let state = from;
  for (const [event, facts, expected] of rows) {
    const step = next(state, event, { ...calm, ...facts });
    state = step.state;
    t.same(kindsOf(step.actions), expected, `${event.kind} in ${JSON.stringify(facts)}`);
  }
  return state;
}

t.test('a page is claimed, sent and settled, and the next one is claimed while the last quarter is sent', async (t) => {
  const sent = (started: number, stop: 'limit' | 'none-left' = 'limit'): QueueEvent => ({
    ...{ kind: 'sent', started, stop, admission: 'open' },
  });
  const settled: QueueEvent = { kind: 'settled', settlement: 'delivered', result: 'recorded', isLate: false };
  const state = follow(t, [
    [{ kind: 'woken' }, {}, ['claim']],
    [{ kind: 'claimed', count: 8, limit: 8 }, {}, ['send']],
    [sent(5), {}, []],
    [{ kind: 'resumed' }, {}, ['send']],
    [sent(1), {}, ['claim']],
    [settled, {}, ['send']],
    [sent(2, 'none-left'), {}, []],
    [{ kind: 'claimed', count: 0, limit: 8 }, {}, []],
  ]);
  t.match(state, { store: 'drained', claimed: 0, inFlight: 7 });
});

t.test('a wake during a claim brings another claim', async (t) => {
  const claimed: QueueEvent = { kind: 'claimed', count: 0, limit: 8 };
  follow(t, [
    [{ kind: 'woken' }, {}, ['claim']],
    [{ kind: 'woken' }, {}, []],
    [claimed, {}, ['claim']],
    [claimed, {}, []],
    [{ kind: 'resumed' }, {}, []],
  ]);
});

t.test('while every endpoint is closed the store is left alone, and a timer is set for the next probe', async (t) => {
  follow(t, [
    [{ kind: 'woken' }, { admission: 'closed', probeInMs: 5_000 }, ['set-timer']],
    [{ kind: 'woken' }, { admission: 'closed' }, []],
    [{ kind: 'resumed' }, { admission: 'probe' }, ['claim']],
  ]);
});

t.test(
  'events that have all failed are given back: the next claim waits for a new one, or for the probe',
  async (t) => {
    const none: QueueEvent = { kind: 'sent', started: 0, stop: 'none-admitted', admission: 'untried-only' };
    const released: QueueEvent = { kind: 'settled', settlement: 'released', result: 'recorded', isLate: false };
    const untried: Partial<QueueFacts> = { admission: 'untried-only', probeInMs: 9 };
    const waiting = follow(t, [
      [{ kind: 'woken' }, untried, ['claim']],
      [{ kind: 'claimed', count: 1, limit: 8 }, untried, ['send']],
      [none, untried, ['release']],
      [released, untried, ['set-timer']],
    ]);
    follow(t, [[{ kind: 'woken' }, untried, ['claim']]], waiting);
    follow(t, [[{ kind: 'resumed' }, { admission: 'probe' }, ['claim']]], waiting);
  },
);

t.test('where a recheck is wanted, it comes before the next try of events that have failed', async (t) => {
  const none: QueueEvent = { kind: 'sent', started: 0, stop: 'none-admitted', admission: 'probe' };
  const released: QueueEvent = { kind: 'settled', settlement: 'released', result: 'recorded', isLate: false };
  const probe: Partial<QueueFacts> = { admission: 'probe' };
  follow(t, [
    [{ kind: 'recheck-requested' }, probe, ['claim']],
    [{ kind: 'claimed', count: 1, limit: 8 }, probe, ['send']],
    [none, probe, ['release']],
    [released, probe, ['recheck']],
    [{ kind: 'rechecked', count: 3, limit: 8 }, probe, ['claim']],
  ]);
});

t.test(
  'a delivery that was sent before a change and failed after it is requeued, as the change would have done',
  async (t) => {
    const failed: QueueEvent = { kind: 'settled', settlement: 'failed', result: 'recorded', isLate: true };
    const drained: QueueState = { ...newQueue, store: 'drained', inFlight: 1 };
    t.same(kindsOf(next(drained, failed, calm).actions), ['requeue', 'ask-due']);
    t.same(kindsOf(next(drained, { ...failed, isLate: false }, calm).actions), ['ask-due']);
    t.same(kindsOf(next(drained, { ...failed, result: 'stale' }, calm).actions), ['ask-due']);
  },
);

t.test(
  'for any events: one claim at a time, no wake or recheck is lost, and a halted queue only releases',
  async () => {
    const choices = fc.array(anyChoice, { maxLength: 120 });
    fc.assert(
      fc.property(choices, fc.nat({ max: 150 }), (chosen, haltAt) => {
        const model = openQueueModel();
        for (const [index, choice] of chosen.entries()) {
          if (index === haltAt) model.halt(choice);
          else model.happen(choice);
        }
      }),
      { numRuns: 3_000 },
    );
  },
);

t.test('after any events, a queue with a working endpoint becomes idle with nothing left to do', async () => {
  fc.assert(
    fc.property(fc.array(anyChoice, { maxLength: 60 }), (chosen) => {
      const model = openQueueModel();
      for (const choice of chosen) model.happen(choice);
      for (let events = 0; model.endOne(); events += 1) if (events > 1_000) throw new Error('it never becomes idle');
      const { store, recheck, claimed, inFlight, dueUnknown } = model.state;
      const left = [store, recheck, claimed, inFlight, dueUnknown];
      if (JSON.stringify(left) !== '["drained","none",0,0,false]') throw new Error(`left when idle: ${left}`);
    }),
    { numRuns: 1_000 },
  );
});
