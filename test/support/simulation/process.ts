import { type Clock, openSteadyTime } from '../../../src/clock/clock.ts';
import { startAlarmLoop } from '../../../src/notification/alarms/alarm-loop.ts';
import { buildMessage } from '../../../src/notification/channels/message.ts';
import {
  type Dispatcher,
  defaultDispatcherLimits,
  startDispatcher,
} from '../../../src/notification/delivery/dispatcher.ts';
import type { Send, SendResult } from '../../../src/notification/outbound-http/sender.ts';
import type { UsableSubscription } from '../../../src/notification/subscriptions/usable-subscription.ts';
import type { DeliveryQueue } from '../../../src/store/store.ts';
import { minuteMs, secondMs } from './plan.ts';
import type { Random } from './random.ts';
import type { VirtualTime } from './virtual-time.ts';

/** What all processes of a simulation share. */
export interface SimulatedWorld {
  readonly time: VirtualTime;
  readonly random: Random;
  readonly deliveries: DeliveryQueue;
  /** Whether calls of the store fail now. */
  readonly storeFails: () => boolean;
  readonly wallMs: () => number;
  /** The statuses that the servers have written. */
  readonly statuses: Map<string, 'active' | 'error'>;
  readonly usable: (authority: string) => readonly UsableSubscription[];
  /** Handles one request, and returns its result and how long it takes. */
  readonly receive: (url: string, body: string) => { readonly afterMs: number; readonly result: SendResult };
}

/** A server with the real dispatcher and alarm loop, which can be killed at any moment. */
export interface SimulatedProcess {
  readonly dispatcher: Dispatcher;
  readonly now: () => number;
  /** Notifies the dispatcher of changed Subscriptions. */
  changed(authority: string): void;
  /** Stops everything at once: no timer fires and no response arrives any more. */
  kill(): void;
}

/**
 * Wraps calls of the store: each takes a moment there and back, and a failing store fails before or after applying it.
 */
function callsOf(world: SimulatedWorld, isAlive: () => boolean) {
  const { time, random, storeFails } = world;
  return <T>(apply: () => Promise<T>): Promise<T> =>
    new Promise((resolve, reject) => {
      const fails = storeFails() && random.chance(0.5);
      const applies = !fails || random.chance(0.5);
      time.after(random.chance(0.1) ? random.between(0, 20) : 0, () => {
        // A call that a killed process had already made may still be applied.
        if (!isAlive() && random.chance(0.5)) return;
        const applied = applies ? apply() : undefined;
        void applied?.then((value) => {
          if (isAlive() && !fails) resolve(value);
        });
        if (fails && isAlive()) reject(new Error('the store fails'));
      });
    });
}

export function startProcess(world: SimulatedWorld): SimulatedProcess {
  const { time, random, deliveries } = world;
  let alive = true;
  const isAlive = (): boolean => alive;
  const steady = openSteadyTime(
    world.wallMs,
    () => time.elapsedMs,
    () => 0,
  );
  const clock: Clock = {
    now: steady.now,
    ageMs: steady.ageMs,
    elapsed: () => time.elapsedMs,
    after: (delayMs, run) => time.after(delayMs, () => alive && run()),
  };
  const call = callsOf(world, isAlive);
  const queue: DeliveryQueue = {
    ...deliveries,
    claim: (...args) => call(() => deliveries.claim(...args)),
    settle: (...args) => call(() => deliveries.settle(...args)),
    backlog: () => call(() => deliveries.backlog()),
    requeue: (...args) => call(() => deliveries.requeue(...args)),
    recordBreach: (...args) => call(() => deliveries.recordBreach(...args)),
  };
  const cuts = new Set<() => void>();
  const send: Send = ({ url, body }) =>
    new Promise((resolve) => {
      const cut = (): void => resolve({ kind: 'failed', reason: 'connection', endpointAlive: false });
      cuts.add(cut);
      time.after(random.between(1, 50), () => {
        // A request of a killed process may already have been sent.
        if (!alive && random.chance(0.5)) return;
        const { afterMs, result } = world.receive(url, body);
        time.after(afterMs, () => {
          cuts.delete(cut);
          if (alive) resolve(result);
        });
      });
    });
  let listener: (authority: string) => void = () => undefined;
  const onError = (): void => undefined;
  const dispatcher = startDispatcher({
    store: { deliveries: queue },
    subscriptions: {
      usable: world.usable,
      failing: (_, id) => alive && world.statuses.set(id, 'error'),
      recovered: (_, id) => alive && world.statuses.set(id, 'active'),
      onChange: (wanted) => {
        listener = wanted;
      },
    },
    selectEvent: (body) => (clauses) => clauses.length === 0 || JSON.parse(body).kind === 'a',
    renderEvent: (body) => body,
    deliver: (to, delivery) => send(buildMessage(to.channel, to.method, delivery, to.secrets, to.owner)),
    sender: {
      close: async () => {
        for (const cut of cuts) cut();
      },
    },
    clock,
    random: random.next,
    limits: { ...defaultDispatcherLimits, perAuthority: 3, pageSize: 8, queryEveryMs: 5 * minuteMs },
    onError,
  });
  const watch = startAlarmLoop({
    deliveries: queue,
    clock,
    everyMs: 5 * minuteMs,
    onAlarm: () => undefined,
    onBreach: () => undefined,
    onError,
  });
  return {
    dispatcher,
    now: clock.now,
    changed: (authority) => listener(authority),
    kill: () => {
      alive = false;
      watch.stop();
    },
  };
}

/** How long a clean stop may take before the process is killed. */
export const stopWithinMs = 60 * secondMs;
