import type { ClaimedDelivery } from '../store/store.ts';
import type { Clock } from './clock.ts';
import { EndpointGate } from './endpoint-gate.ts';
import { buildMessage } from './message.ts';
import type { Send, SendResult } from './sender.ts';
import type { Outcome } from './settlement.ts';
import type { Subscriptions, UsableSubscription } from './subscriptions.ts';

export interface EndpointsContext {
  readonly subscriptions: Pick<Subscriptions, 'failing' | 'recovered'>;
  readonly send: Send;
  readonly clock: Clock;
  readonly random: () => number;
  /** `result`: `acknowledged` or the class of the failure. */
  readonly onAttempt: (authority: string, result: string, durationMs: number) => void;
}

/** Failures in a row after which a Subscription shows `error`, and an answer means that an outage has ended. */
const outageFailures = 3;

/** The endpoints of one authority's Subscriptions, each with its gate. */
export class Endpoints {
  readonly #authority: string;
  readonly #context: EndpointsContext;
  readonly #onOutageEnd: () => void;
  readonly #gates = new Map<string, EndpointGate>();
  #closing = false;

  constructor(authority: string, context: EndpointsContext, onOutageEnd: () => void) {
    this.#authority = authority;
    this.#context = context;
    this.#onOutageEnd = onOutageEnd;
  }

  /** Failures in a row of the endpoint that has most of them. */
  get failures(): number {
    return Math.max(0, ...[...this.#gates.values()].map((gate) => gate.failures));
  }

  /** From now on results say nothing about an endpoint: connections are being cut. */
  close(): void {
    this.#closing = true;
  }

  /** The Subscriptions changed: every endpoint starts afresh. */
  forget(): void {
    this.#gates.clear();
  }

  /** `all`: some endpoint is open; `one`: a probe may go; `none`: each is shut, or there is none. */
  mayTry(usable: readonly UsableSubscription[]): 'all' | 'one' | 'none' {
    const nowMs = this.#context.clock.now();
    const states = usable.map(({ id }) => this.#gateOf(id).state(nowMs));
    if (states.includes('open')) return 'all';
    return states.includes('probe') ? 'one' : 'none';
  }

  /** When the first shut endpoint may be probed, epoch ms; undefined while each waits for the result of a probe. */
  nextProbeMs(usable: readonly UsableSubscription[]): number | undefined {
    const nowMs = this.#context.clock.now();
    const upcoming = usable.map(({ id }) => this.#gateOf(id).retryAtMs).filter((atMs) => atMs > nowMs);
    return upcoming.length === 0 ? undefined : Math.min(...upcoming);
  }

  /** Sends one delivery to one Subscription, unless its endpoint is shut. Never rejects. */
  async sendTo(subscription: UsableSubscription, delivery: ClaimedDelivery): Promise<Outcome> {
    const { clock, send, onAttempt } = this.#context;
    const { id: subscriptionId, channel, method, secrets } = subscription;
    const gate = this.#gateOf(subscriptionId);
    const startMs = clock.now();
    if (gate.state(startMs) === 'shut') return { subscriptionId, result: undefined, gateRetryAtMs: gate.retryAtMs };
    const round = gate.begin();
    const result = await send(buildMessage(channel, method, delivery, secrets));
    const nowMs = clock.now();
    const label = result.kind === 'failed' ? result.reason : 'acknowledged';
    onAttempt(this.#authority, label, Math.max(0, nowMs - startMs));
    if (!this.#closing) this.#note(gate, round, subscription, result, nowMs);
    return { subscriptionId, result, gateRetryAtMs: gate.retryAtMs };
  }

  /** Keeps the gate, and on transitions the status of the Subscription, in step with what the endpoint did. */
  #note(gate: EndpointGate, round: number, to: UsableSubscription, result: SendResult, nowMs: number): void {
    const { subscriptions } = this.#context;
    if (result.kind === 'failed' && !result.endpointAlive) {
      const throttledMs = result.reason === 'status-429' ? 0 : undefined;
      gate.failed(round, nowMs, result.retryAfterMs ?? throttledMs);
      if (gate.failures >= outageFailures) subscriptions.failing(this.#authority, to.id, result.reason);
      return;
    }
    const ended = gate.answered(round);
    if (result.kind === 'acknowledged' && to.status === 'error') subscriptions.recovered(this.#authority, to.id);
    if (ended >= outageFailures) this.#onOutageEnd();
  }

  #gateOf(id: string): EndpointGate {
    const known = this.#gates.get(id);
    if (known !== undefined) return known;
    const gate = new EndpointGate(this.#context.random);
    this.#gates.set(id, gate);
    return gate;
  }
}
