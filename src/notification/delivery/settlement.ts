import type { ClaimedDelivery, Settlement } from '../../store/store.ts';
import { longestDelayMs, retryDelayMs } from '../outbound-http/schedule.ts';
import type { SendResult } from '../outbound-http/sender.ts';

/** What happened with one Subscription that the delivery is for. */
export interface Outcome {
  readonly subscriptionId: string;
  /** Undefined: not sent, the endpoint is shut. */
  readonly result: SendResult | undefined;
  /** Milliseconds until the endpoint is probed; 0 while it is open. */
  readonly probeInMs: number;
  /** It was sent to find out whether the endpoint answers again. */
  readonly isProbe: boolean;
}

/** An event that failed with its endpoint comes a little after the endpoint's next probe, so that another one is the probe. */
const behindProbeMs = 250;

/** Failures of one event, while its endpoint took others, after which it is parked: half an hour by the schedule. */
export const parkAfterAttempts = 6;

/**
 * Folds the outcomes of one round into what the store is told. `outcomes` has every Subscription that wants the event and
 * has not acknowledged it yet; none left to acknowledge is `delivered`. A probe spends no attempt: its failure says
 * nothing about the event. What was held back waits for the longest delay: the endpoint's recovery makes it due at once.
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
