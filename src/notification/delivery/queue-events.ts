/** What the queue of one authority reacts to, and what it does: see queue-state.ts. */
import type { Settlement } from '../../store/store.ts';
import type { Admission } from './endpoints.ts';

/** What the queue can see when an event arrives. */
export interface QueueFacts {
  readonly admission: Admission;
  /** Time until an endpoint may be probed; undefined while each one waits for the result of a probe. */
  readonly probeInMs: number | undefined;
  /** The same, of the endpoints that a delivery has been held back from. */
  readonly heldBackProbeInMs: number | undefined;
  /** Time until the store may be asked again after a failure; 0 or less: now. */
  readonly storeWaitMs: number;
  /** Maximum deliveries in one claim. */
  readonly pageSize: number;
}

/**
 * Why no further attempt was started: no delivery is in hand; no slot or rate is left; the endpoints admit none of those in
 * hand; or their lease would end during an attempt.
 */
export type SendStop = 'none-left' | 'limit' | 'none-admitted' | 'lease-ending';

export type QueueEvent =
  /** Deliveries may have been added. */
  | { readonly kind: 'woken' }
  /** The time has come at which a delivery was known to become due. */
  | { readonly kind: 'due' }
  /** A timer fired, or a send slot became free. */
  | { readonly kind: 'resumed' }
  /** The Subscriptions changed, or an operator asked for a replay. */
  | { readonly kind: 'restarted' }
  | { readonly kind: 'recheck-requested' }
  | { readonly kind: 'endpoint-recovered' }
  /** The server may now probe an endpoint for which it held deliveries back. */
  | { readonly kind: 'held-back-due' }
  /** A requeue ended, whether or not the store took it. */
  | { readonly kind: 'requeued' }
  | { readonly kind: 'claimed'; readonly count: number; readonly limit: number }
  | { readonly kind: 'claim-failed' }
  /** Attempts were started from the deliveries in hand, until `stop`. `admission`: as it was then. */
  | {
      readonly kind: 'sent';
      readonly started: number;
      readonly stop: SendStop;
      readonly admission: Admission;
    }
  /** A delivery was settled. `isLate`: the attempt began before the endpoints restarted or recovered, so retry it at once. */
  | {
      readonly kind: 'settled';
      readonly settlement: Settlement['kind'];
      readonly result: 'recorded' | 'stale' | 'unknown';
      readonly isLate: boolean;
    }
  | { readonly kind: 'rechecked'; readonly count: number; readonly limit: number }
  | { readonly kind: 'recheck-failed' }
  | { readonly kind: 'halted' };

export type QueueAction =
  | { readonly kind: 'claim'; readonly limit: number }
  /** Start attempts as far as endpoints and send slots allow, then report `sent`. */
  | { readonly kind: 'send' }
  /** Give all deliveries in hand back to the store. */
  | { readonly kind: 'release' }
  /** Make up to `limit` waiting deliveries due now; undefined: all of them. */
  | { readonly kind: 'requeue'; readonly limit: number | undefined }
  /** Make up to `limit` unmatched events due again. */
  | { readonly kind: 'recheck'; readonly limit: number }
  /** Ask when the next delivery becomes due. */
  | { readonly kind: 'ask-due' }
  | { readonly kind: 'set-timer'; readonly timer: 'probe' | 'held-back' | 'store'; readonly delayMs: number };
