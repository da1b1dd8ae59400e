import type { Clock } from '../../clock/clock.ts';
import type { DeliveryBreach, DeliveryQueue } from '../../store/store.ts';
import { type Alarm, type AlarmState, judgeAlarms, noAlarms } from './alarms.ts';

export interface AlarmLoopOptions {
  readonly deliveries: Pick<DeliveryQueue, 'backlog' | 'recordBreach'>;
  readonly clock: Clock;
  readonly everyMs: number;
  /** An alarm was raised, reached a higher level, or ended (level 0). */
  readonly onAlarm: (alarm: Alarm) => void;
  /** A breach was recorded for the first time. */
  readonly onBreach: (breach: DeliveryBreach) => void;
  readonly onError: (error: unknown) => void;
}

/** Checks the 24-hour limit independently of the dispatcher, from the store alone. */
export interface AlarmLoop {
  /** The alarms that have been raised and not ended. */
  active(): readonly Alarm[];
  stop(): void;
}

/**
 * Starts the checks: one at once, then one every `everyMs`. A breach that the store cannot record is recorded at a
 * later check.
 */
export function startAlarmLoop(options: AlarmLoopOptions): AlarmLoop {
  const { deliveries, clock, everyMs, onAlarm, onBreach, onError } = options;
  let state: AlarmState = noAlarms;
  let unrecorded: readonly DeliveryBreach[] = [];
  let stopped = false;
  let cancel: () => void;

  async function check(): Promise<void> {
    const decision = judgeAlarms(state, await deliveries.backlog(), clock.now(), clock.ageMs);
    if (stopped) return;
    state = decision;
    unrecorded = [...unrecorded, ...decision.breaches];
    for (const alarm of decision.changed) onAlarm(alarm);
    while (unrecorded[0] !== undefined) {
      const [breach] = unrecorded;
      if (await deliveries.recordBreach(breach)) onBreach(breach);
      unrecorded = unrecorded.slice(1);
    }
  }

  function plan(delayMs: number): void {
    cancel = clock.after(delayMs, () => {
      void check()
        .catch(onError)
        .then(() => {
          if (!stopped) plan(everyMs);
        });
    });
  }
  cancel = () => undefined;
  plan(0);

  return {
    active: () => [...state.active.values()],
    stop() {
      stopped = true;
      cancel();
    },
  };
}
