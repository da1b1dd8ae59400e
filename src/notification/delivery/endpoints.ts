import type { Clock } from '../../clock/clock.ts';
import type { ClaimedDelivery } from '../../store/store.ts';
import type { Deliver } from '../channels/deliver.ts';
import type { SendResult } from '../outbound-http/sender.ts';
import type { Subscriptions, UsableSubscription } from '../subscriptions/usable-subscription.ts';
import {
  acceptsUntried,
  type Breaker,
  beginAttempt,
  type EndpointAnswer,
  freshBreaker,
  noteAttempt,
  recencyOf,
  stanceOf,
  suspectBreaker,
} from './breaker.ts';
import type { Outcome } from './settlement.ts';

export interface EndpointsContext {
  readonly subscriptions: Pick<Subscriptions, 'failing' | 'recovered'>;
  readonly deliver: Deliver;
  readonly clock: Clock;
  readonly random: () => number;
  /** `result`: `acknowledged` or the class of the failure. */
  readonly onAttempt: (authority: string, result: string, durationMs: number) => void;
}

/** Consecutive failures after which a Subscription is set to `error`. */
const outageFailures = 3;

/**
 * What the endpoints of an authority accept. `open`: any event; `probe`: one event, to find out whether an endpoint has
 * recovered; `untried-only`: an event that has not failed yet; `closed`: nothing, or no Subscription is in use.
 */
export type Admission = 'open' | 'probe' | 'untried-only' | 'closed';

/** The endpoints of one authority's Subscriptions, each with its circuit breaker. */
export class Endpoints {
  readonly #authority: string;
  readonly #context: EndpointsContext;
  readonly #onRecovered: () => void;
  readonly #breakers = new Map<string, Breaker>();
  /** Subscriptions from which a delivery was held back while their endpoint was closed. */
  readonly #heldBack = new Set<string>();
  #lastFailure: string | undefined;
  #closing = false;
  /** An attempt of an earlier generation says nothing about the endpoints of this one. */
  #generation = 0;

  /** `onRecovered`: called when an endpoint responds again, so that deliveries held back from it can be tried. */
  constructor(authority: string, context: EndpointsContext, onRecovered: () => void) {
    this.#authority = authority;
    this.#context = context;
    this.#onRecovered = onRecovered;
  }

  /** Returns the consecutive failures of the endpoint that has the most. */
  get failures(): number {
    return Math.max(0, ...[...this.#breakers.values()].map(({ failures }) => failures));
  }

  /** Returns the class of the last failure while an endpoint fails. */
  get lastFailure(): string | undefined {
    return this.failures === 0 ? undefined : this.#lastFailure;
  }

  /** Grows each time that every endpoint starts afresh. */
  get generation(): number {
    return this.#generation;
  }

  /** Ignores the results of attempts from now on, because connections are being cut. */
  close(): void {
    this.#closing = true;
  }

  /** Resets every breaker after a change of the Subscriptions. Those in `error` start with one probe. */
  forget(): void {
    this.#generation += 1;
    this.#breakers.clear();
    this.#heldBack.clear();
  }

  admission(usable: readonly UsableSubscription[]): Admission {
    const atMs = this.#context.clock.elapsed();
    const breakers = usable.filter(isSentTo).map((one) => this.#breakerOf(one));
    const stances = breakers.map((breaker) => stanceOf(breaker, atMs));
    if (stances.includes('open')) return 'open';
    if (stances.includes('probe')) return 'probe';
    return breakers.some(acceptsUntried) ? 'untried-only' : 'closed';
  }

  /**
   * Returns the delivery to try next: the oldest. While an endpoint is closed, the oldest that has not failed there. If
   * there is none and a probe is possible, the one that failed longest ago, unless `freshOnly`: so an event that always
   * fails does not block the others.
   */
  pick(
    usable: readonly UsableSubscription[],
    claimed: readonly ClaimedDelivery[],
    may: Admission,
    freshOnly: boolean,
  ): ClaimedDelivery | undefined {
    if (may === 'closed') return undefined;
    const atMs = this.#context.clock.elapsed();
    const mayProbe = (breaker: Breaker): boolean =>
      may === 'untried-only' ? acceptsUntried(breaker) : stanceOf(breaker, atMs) === 'probe';
    const ready = usable
      .filter(isSentTo)
      .map((one) => ({ id: one.id, breaker: this.#breakerOf(one) }))
      .filter((one) => mayProbe(one.breaker));
    if (may === 'open' && ready.length === 0) return claimed[0];
    const recency = ({ auditId, acknowledgedBy }: ClaimedDelivery): number => {
      const open = ready.filter(({ id }) => !acknowledgedBy.includes(id));
      return Math.min(...open.map(({ breaker }) => recencyOf(breaker, auditId)));
    };
    const [next] = claimed
      .map((delivery) => ({ delivery, failedAt: recency(delivery) }))
      .sort((a, b) => (a.failedAt === b.failedAt ? 0 : a.failedAt - b.failedAt));
    const mustBeFresh = may === 'untried-only' || (may === 'probe' && freshOnly);
    return next === undefined || (mustBeFresh && next.failedAt >= 0) ? undefined : next.delivery;
  }

  /** Whether the endpoint has failed before and responds again. */
  hasRecovered(subscriptionId: string): boolean {
    const { failures, round } = this.#breakers.get(subscriptionId) ?? freshBreaker;
    return failures === 0 && round > 0;
  }

  /**
   * Returns the milliseconds until the first closed endpoint may be probed; undefined while each waits for the result
   * of a probe.
   */
  nextProbeInMs(usable: readonly UsableSubscription[]): number | undefined {
    const atMs = this.#context.clock.elapsed();
    const waits = usable.map((one) => this.#breakerOf(one).retryAtMs - atMs).filter((waitMs) => waitMs > 0);
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /** Returns the same for the endpoints from which a delivery is held back. */
  nextHeldBackProbeInMs(usable: readonly UsableSubscription[]): number | undefined {
    return this.nextProbeInMs(usable.filter(({ id }) => this.#heldBack.has(id)));
  }

  /** Sends one delivery to one Subscription, unless its endpoint is closed or not in use yet. Never rejects. */
  async sendTo(subscription: UsableSubscription, delivery: ClaimedDelivery): Promise<Outcome> {
    const { clock, deliver, onAttempt } = this.#context;
    const subscriptionId = subscription.id;
    if (!isSentTo(subscription)) return { subscriptionId, result: undefined, probeInMs: 0, isProbe: false };
    const generation = this.#generation;
    const before = this.#breakerOf(subscription);
    const startMs = clock.elapsed();
    const stance = stanceOf(before, startMs, delivery.auditId);
    if (stance === 'closed') {
      this.#heldBack.add(subscriptionId);
      return { subscriptionId, result: undefined, probeInMs: this.#probeInMs(subscription), isProbe: false };
    }
    this.#breakers.set(subscriptionId, beginAttempt(before));
    const result = await deliver(subscription, delivery);
    if (result === undefined) return { subscriptionId, result, probeInMs: 0, isProbe: false };
    const label = result.kind === 'failed' ? result.reason : 'acknowledged';
    onAttempt(this.#authority, label, Math.max(0, clock.elapsed() - startMs));
    // A parked event that fails while the endpoint accepts others says nothing about the endpoint.
    const failsAlone = delivery.parked && stance === 'open' && result.kind === 'failed';
    const isCurrent = !this.#closing && generation === this.#generation;
    if (isCurrent && !failsAlone) this.#note(before.round, subscription, delivery.auditId, result);
    return { subscriptionId, result, probeInMs: this.#probeInMs(subscription), isProbe: stance === 'probe' };
  }

  /** Updates the breaker and, when it changes, the status of the Subscription. */
  #note(round: number, to: UsableSubscription, event: string, result: SendResult): void {
    const { subscriptions, clock, random } = this.#context;
    const before = this.#breakerOf(to);
    const attempt = { round, event, answer: answerOf(result), atMs: clock.elapsed() };
    const after = noteAttempt(before, attempt, random);
    this.#breakers.set(to.id, after);
    if (result.kind === 'failed') {
      this.#lastFailure = result.reason;
      if (after.failures >= outageFailures) subscriptions.failing(this.#authority, to.id, result.reason);
    } else if (to.status === 'error') subscriptions.recovered(this.#authority, to.id);
    if (after.failures > 0) return;
    const heldBack = this.#heldBack.delete(to.id);
    if (before.failures > 0 || heldBack) this.#onRecovered();
  }

  #probeInMs(to: UsableSubscription): number {
    const { failures, retryAtMs } = this.#breakerOf(to);
    return failures === 0 ? 0 : Math.max(0, retryAtMs - this.#context.clock.elapsed());
  }

  /** After a restart, treat a Subscription in `error` as suspect and send one probe first. */
  #breakerOf({ id, status }: UsableSubscription): Breaker {
    return this.#breakers.get(id) ?? (status === 'error' ? suspectBreaker : freshBreaker);
  }
}

/** A requested Subscription waits until its endpoint has been verified. */
const isSentTo = ({ status }: UsableSubscription): boolean => status !== 'requested';

function answerOf(result: SendResult): EndpointAnswer {
  if (result.kind === 'acknowledged') return { kind: 'acknowledged' };
  if (result.endpointAlive) return { kind: 'refused' };
  return { kind: 'failed', retryAfterMs: result.retryAfterMs, throttles: result.reason === 'status-429' };
}
