import { openTimers, type Timers } from '../../clock/timers.ts';
import type { ClaimedDelivery } from '../../store/store.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { type Attempted, type AttemptingQueue, attemptDelivery, giveBack } from './attempt-delivery.ts';
import type { AuthorityQueueContext, QueueSnapshot } from './authority-queue-context.ts';
import { ClaimedPage } from './claimed-page.ts';
import { type Admission, Endpoints } from './endpoints.ts';
import type { QueueAction, QueueEvent, QueueFacts, SendStop } from './queue-events.ts';
import { newQueue, next } from './queue-state.ts';
import { requeueAll } from './requeue.ts';
import { SendAllowance } from './send-allowance.ts';
import { settleDelivery } from './settle-delivery.ts';
import { StoreBackoff } from './store-backoff.ts';
import { UnmatchedRecheck } from './unmatched-recheck.ts';

/**
 * The deliveries of one authority: claimed in pages, sent in parallel within limits, settled. queue-state.ts decides what to
 * do; this class does it and reports how it ended. Between events it does nothing: a timer is set for the next due
 * delivery, the next probe, or the next try of a store that failed.
 */
export class AuthorityQueue {
  readonly authority: string;
  readonly #context: AuthorityQueueContext;
  readonly #endpoints: Endpoints;
  readonly #attempting: AttemptingQueue;
  readonly #allowance: SendAllowance;
  readonly #timers: Timers<'due' | 'probe' | 'held-back' | 'store'>;
  readonly #claimed = new ClaimedPage();
  readonly #store: StoreBackoff;
  readonly #recheck = new UnmatchedRecheck();
  readonly #settled = Promise.withResolvers<void>();
  readonly #facts: QueueFacts;
  #state = newQueue;

  constructor(authority: string, context: AuthorityQueueContext) {
    const { clock, slots, perSecond, pageSize, subscriptions } = context;
    const endpoints = new Endpoints(authority, context, () => this.#feed({ kind: 'endpoint-recovered' }));
    const store = new StoreBackoff(clock);
    const usable = () => subscriptions.usable(authority);
    this.authority = authority;
    this.#context = context;
    this.#endpoints = endpoints;
    this.#store = store;
    this.#timers = openTimers(clock);
    this.#allowance = new SendAllowance(slots, perSecond, clock, () => this.#feed({ kind: 'resumed' }));
    this.#attempting = {
      authority,
      endpoints,
      unmatchedAtMs: (nowMs) => this.#recheck.timeOf(nowMs),
      isStopped: () => this.#state.halted,
    };
    // Most events need only some of them.
    this.#facts = {
      pageSize,
      get admission() {
        return endpoints.admission(usable());
      },
      get probeInMs() {
        return endpoints.nextProbeInMs(usable());
      },
      get heldBackProbeInMs() {
        return endpoints.nextHeldBackProbeInMs(usable());
      },
      get storeWaitMs() {
        return store.waitMs;
      },
    };
  }

  snapshot(): QueueSnapshot {
    const { claimed, inFlight } = this.#state;
    const { failures: endpointFailures, lastFailure } = this.#endpoints;
    return {
      authority: this.authority,
      sending: this.#allowance.sending,
      claimed,
      inFlight,
      endpointFailures,
      lastFailure,
    };
  }

  /** Call when deliveries may have been added. */
  wake(): void {
    this.#feed({ kind: 'woken' });
  }

  /** Call when the Subscriptions of the authority have changed: tries all waiting deliveries with them. */
  restart(): void {
    this.#endpoints.forget();
    this.#recheck.ask(this.#context.clock.now());
    this.#feed({ kind: 'restarted' });
  }

  /** Tries again the events that no Subscription matched, in small parts, each when nothing else is due. */
  recheckUnmatched(): void {
    this.#recheck.ask(this.#context.clock.now());
    this.#feed({ kind: 'recheck-requested' });
  }

  /** Sets the time at which its next delivery becomes due, epoch ms. */
  dueAt(nextDueMs: number): void {
    this.#timers.set('due', nextDueMs - this.#context.clock.now(), () => this.#feed({ kind: 'due' }));
  }

  /** Starts nothing more, and gives back deliveries that are claimed and not sent. */
  halt(): void {
    this.#endpoints.close();
    this.#allowance.close();
    this.#timers.clear();
    this.#feed({ kind: 'halted' });
  }

  /** Resolves when nothing is in flight any more; call after `halt`. */
  settled(): Promise<void> {
    return this.#settled.promise;
  }

  #feed(event: QueueEvent): void {
    const { state, actions } = next(this.#state, event, this.#facts);
    this.#state = state;
    for (const action of actions) this.#run(action);
    if (this.#state.halted && this.#state.inFlight === 0) this.#settled.resolve();
  }

  #run(action: QueueAction): void {
    switch (action.kind) {
      case 'send':
        this.#send();
        break;
      case 'claim':
        void this.#claim(action.limit);
        break;
      case 'release':
        this.#release();
        break;
      case 'requeue':
        void this.#requeue(action.limit);
        break;
      case 'recheck':
        void this.#recheckNext(action.limit);
        break;
      case 'ask-due':
        this.#context.askDue();
        break;
      case 'set-timer': {
        const { timer, delayMs } = action;
        this.#timers.set(timer, delayMs, () => {
          this.#feed({ kind: timer === 'held-back' ? 'held-back-due' : 'resumed' });
        });
        break;
      }
      default:
        throw action satisfies never;
    }
  }

  /** Starts attempts until nothing in hand may be sent, and reports why it stopped. */
  #send(): void {
    const usable = this.#context.subscriptions.usable(this.authority);
    for (let started = 0; ; started += 1) {
      const admission = this.#endpoints.admission(usable);
      const chosen = this.#choose(usable, admission);
      if (typeof chosen === 'string') {
        this.#feed({ kind: 'sent', started, stop: chosen, admission });
        return;
      }
      this.#claimed.take(chosen);
      const attempt = attemptDelivery(chosen, usable, this.#attempting, this.#context).finally(() => {
        this.#allowance.giveBack();
        this.#feed({ kind: 'resumed' });
      });
      void this.#settle(chosen, attempt);
    }
  }

  /** Returns the delivery to send next, with a send slot taken for it, or why there is none. */
  #choose(usable: readonly UsableSubscription[], admission: Admission): ClaimedDelivery | SendStop {
    const { clock, deadlineMs } = this.#context;
    if (this.#claimed.size === 0) return 'none-left';
    if (!this.#claimed.outlives(clock.now(), deadlineMs)) return 'lease-ending';
    const chosen = this.#endpoints.pick(usable, this.#claimed.deliveries, admission, this.#state.recheck !== 'none');
    if (chosen === undefined) return 'none-admitted';
    return this.#allowance.take() ? chosen : 'limit';
  }

  async #claim(limit: number): Promise<void> {
    const { deliveries, clock, leaseMs, onError } = this.#context;
    const nowMs = clock.now();
    const leaseEndMs = nowMs + leaseMs;
    let event: QueueEvent = { kind: 'claim-failed' };
    try {
      const page = await this.#store.ask(() => deliveries.claim(this.authority, limit, nowMs, leaseEndMs));
      this.#claimed.add(page, leaseEndMs);
      event = { kind: 'claimed', count: page.length, limit };
    } catch (error) {
      onError(error);
    }
    this.#feed(event);
  }

  /** Returns all claimed deliveries to the store: released, or unmatched if no Subscription matches. */
  #release(): void {
    const usable = this.#state.halted ? [] : this.#context.subscriptions.usable(this.authority);
    for (const delivery of this.#claimed.takeAll()) {
      const given = async (): Promise<Attempted> => giveBack(delivery, usable, this.#attempting, this.#context);
      void this.#settle(delivery, given());
    }
  }

  async #settle(delivery: ClaimedDelivery, attempt: Promise<Attempted>): Promise<void> {
    const { deliveries, clock, onError, onParked } = this.#context;
    const { generation } = this.#endpoints;
    let event: QueueEvent = { kind: 'settled', settlement: 'failed', result: 'unknown', isLate: false };
    try {
      const { settlement, heldBackFrom } = await attempt;
      const result = await settleDelivery(delivery, settlement, deliveries, clock, onError);
      const isLate =
        generation !== this.#endpoints.generation || heldBackFrom.some((id) => this.#endpoints.hasRecovered(id));
      event = { kind: 'settled', settlement: settlement.kind, result, isLate };
      if (result === 'recorded' && settlement.kind === 'failed' && settlement.park === true) {
        onParked(this.authority, delivery.auditId, settlement.reason);
      }
    } catch (error) {
      onError(error);
    }
    this.#feed(event);
  }

  async #requeue(limit: number | undefined): Promise<void> {
    const { deliveries, clock, onError } = this.#context;
    await requeueAll(deliveries, this.authority, clock.now(), 'waiting', limit).catch(onError);
    this.#feed({ kind: 'requeued' });
  }

  async #recheckNext(limit: number): Promise<void> {
    const { deliveries, clock, onError } = this.#context;
    let event: QueueEvent = { kind: 'recheck-failed' };
    try {
      const count = await this.#store.ask(() => this.#recheck.next(deliveries, this.authority, limit, clock.now()));
      event = { kind: 'rechecked', count, limit };
    } catch (error) {
      onError(error);
    }
    this.#feed(event);
  }
}
