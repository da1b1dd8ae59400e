import type { ClaimedDelivery, Settlement } from '../store/store.ts';
import { longestDelayMs, retryDelayMs } from './schedule.ts';
import type { SendResult } from './sender.ts';

/** What happened with one Subscription that the delivery is for. */
export interface Outcome {
  readonly subscriptionId: string;
  /** Undefined: not sent, the endpoint is shut until `gateRetryAtMs`. */
  readonly result: SendResult | undefined;
  /** When the endpoint's gate lets the next probe through, epoch ms; 0 while it is open. */
  readonly gateRetryAtMs: number;
}

/** An event that failed with its endpoint comes a little after the endpoint's next probe, so that another one is the probe. */
const behindProbeMs = 250;

/** A delivery that no Subscription asks for waits; a change of the Subscriptions makes it due at once. */
export function settleUnwanted(nowMs: number): Settlement {
  return {
    kind: 'failed',
    dueMs: nowMs + longestDelayMs,
    reason: 'no-subscription',
    acknowledgedBy: [],
    spendAttempt: false,
  };
}

/**
 * Folds the outcomes of one round into what the store is told. `outcomes` has every Subscription that wants the event and
 * has not acknowledged it yet; none left to acknowledge is `delivered`.
 */
export function settle(
  delivery: Pick<ClaimedDelivery, 'attempts' | 'acknowledgedBy'>,
  outcomes: readonly Outcome[],
  nowMs: number,
  random: () => number,
): Settlement {
  const acknowledgedBy = [...delivery.acknowledgedBy];
  const dues: number[] = [];
  let reason: string | undefined;
  for (const { subscriptionId, result, gateRetryAtMs } of outcomes) {
    if (result?.kind === 'acknowledged') {
      acknowledgedBy.push(subscriptionId);
      continue;
    }
    if (result === undefined) {
      dues.push(Math.max(gateRetryAtMs + behindProbeMs, nowMs + retryDelayMs(1, random)));
      continue;
    }
    reason ??= result.reason;
    const ownMs = nowMs + retryDelayMs(delivery.attempts + 1, random, result.retryAfterMs);
    dues.push(result.endpointAlive ? ownMs : Math.max(ownMs, gateRetryAtMs + behindProbeMs));
  }
  if (dues.length === 0) return { kind: 'delivered', acknowledgedBy, atMs: nowMs };
  return {
    kind: 'failed',
    dueMs: Math.min(...dues),
    reason: reason ?? 'endpoint-shut',
    acknowledgedBy,
    spendAttempt: reason !== undefined,
  };
}
