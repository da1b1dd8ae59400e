import type { ClaimedDelivery, Settlement } from '../../store/store.ts';
import { longestDelayMs, retryDelayMs } from '../outbound-http/schedule.ts';
import type { SendResult } from '../outbound-http/sender.ts';

/** The result for one Subscription that matches the delivery. */
export interface Outcome {
  readonly subscriptionId: string;
  /** Undefined: not sent, because the endpoint is closed. */
  readonly result: SendResult | undefined;
  /** Milliseconds until the endpoint is probed; 0 while it is open. */
  readonly probeInMs: number;
  /** Sent to find out whether the endpoint responds again. */
  readonly isProbe: boolean;
}

/** How long after the next probe an event is due that failed with its endpoint, so that another event is the probe. */
const behindProbeMs = 250;

/**
 * Failures of one event, while its endpoint accepted others, after which it is parked: half an hour by the schedule.
 */
export const parkAfterAttempts = 6;

/**
 * Combines the results of one round into one settlement. `outcomes` has every Subscription that matches the event and
 * has not acknowledged it yet; if none remains, it is delivered. A failed probe does not count as an attempt, because
 * it says nothing about the event. A delivery that was held back waits for the longest delay: the recovery of the
 * endpoint makes it due at once.
 */
export function settle(
  delivery: Pick<ClaimedDelivery, 'attempts' | 'acknowledgedBy' | 'parked'>,
  outcomes: readonly Outcome[],
  nowMs: number,
  random: () => number,
): Settlement {
  const acknowledgedBy = [...delivery.acknowledgedBy];
  const waitsMs: number[] = [];
  let reason: string | undefined;
  let spendAttempt = false;
  for (const { subscriptionId, result, probeInMs, isProbe } of outcomes) {
    if (result?.kind === 'acknowledged') {
      acknowledgedBy.push(subscriptionId);
      continue;
    }
    if (result === undefined) {
      waitsMs.push(Math.max(probeInMs + behindProbeMs, longestDelayMs));
      continue;
    }
    reason ??= result.reason;
    if (!isProbe) spendAttempt = true;
    const ownMs = isProbe ? 0 : retryDelayMs(delivery.attempts + 1, random, result.retryAfterMs);
    waitsMs.push(probeInMs === 0 ? ownMs : Math.max(ownMs, probeInMs + behindProbeMs));
  }
  if (waitsMs.length === 0) return { kind: 'delivered', acknowledgedBy, atMs: nowMs };
  return {
    kind: 'failed',
    dueMs: nowMs + Math.round(Math.min(...waitsMs)),
    reason: reason ?? 'endpoint-shut',
    acknowledgedBy,
    spendAttempt,
    ...(spendAttempt && !delivery.parked && delivery.attempts + 1 >= parkAfterAttempts ? { park: true } : {}),
  };
}
