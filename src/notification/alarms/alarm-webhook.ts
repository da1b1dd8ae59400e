import { request } from 'undici';
import type { Clock } from '../../clock/clock.ts';

export interface AlarmWebhook {
  /** Posts the facts of an alarm, and the time, in the background. Returns at once. */
  report(facts: Readonly<Record<string, unknown>>): void;
  close(): void;
}

export interface AlarmWebhookOptions {
  /** The operator's own endpoint: neither the address guard nor the registry applies to it. */
  readonly url: string;
  readonly clock: Clock;
  /** Called for each failed attempt. The alarm is still in the log and in the metrics. */
  readonly onError: (error: unknown) => void;
}

const waitsMs = [5_000, 30_000, 120_000, 600_000];
const deadlineMs = 10_000;
/** Maximum alarms waiting for another attempt. Further ones are in the log only. */
const maxWaiting = 200;

/**
 * Opens the webhook that reports alarms to an operator's endpoint: a `POST` of JSON with an authority and numbers or the
 * id of a plan, and no patient.
 */
export function openAlarmWebhook({ url, clock, onError }: AlarmWebhookOptions): AlarmWebhook {
  const waiting = new Set<() => void>();
  let closed = false;

  async function post(body: string, tries: number): Promise<void> {
    try {
      const response = await request(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        signal: AbortSignal.timeout(deadlineMs),
      });
      await response.body.dump({ limit: 65_536 });
      if (response.statusCode >= 200 && response.statusCode < 300) return;
      throw new Error(`the alarm webhook answered ${response.statusCode}`);
    } catch (error) {
      onError(error);
      const waitMs = waitsMs[tries];
      if (closed || waitMs === undefined || waiting.size >= maxWaiting) return;
      const cancel = clock.after(waitMs, () => {
        waiting.delete(cancel);
        void post(body, tries + 1);
      });
      waiting.add(cancel);
    }
  }

  return {
    report(facts) {
      void post(JSON.stringify({ ...facts, at: new Date(clock.now()).toISOString() }), 0);
    },
    close() {
      closed = true;
      for (const cancel of waiting) cancel();
    },
  };
}
