import { openTimers, type Timers } from '../../clock/timers.ts';
import type { ClaimedDelivery } from '../../store/store.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { type Attempted, type AttemptingQueue, attemptDelivery, giveBack } from './attempt-delivery.ts';
import type { AuthorityQueueContext } from './authority-queue-context.ts';
import { ClaimedPage } from './claimed-page.ts';
import { Endpoints } from './endpoints.ts';
import { InFlight } from './in-flight.ts';
import { requeueAll } from './requeue.ts';
import { SendAllowance } from './send-allowance.ts';
import { settleDelivery } from './settle-delivery.ts';
import { StoreBackoff } from './store-backoff.ts';
import { UnmatchedRecheck } from './unmatched-recheck.ts';

const maxInFlight = 256;

/**
 * The deliveries of one authority: claimed in pages, sent side by side within bounds, settled. Between signals it does
 * nothing: a timer stands at the next due delivery, the next probe, or the next try of a store that failed.
 */
export class AuthorityQueue {
  readonly authority: string;
  readonly #context: AuthorityQueueContext;
  readonly #endpoints: Endpoints;
  readonly #attempting: AttemptingQueue;
  readonly #inFlight: InFlight;
  readonly #allowance: SendAllowance;
  readonly #timers: Timers<'due' | 'probe' | 'held-back' | 'store' | 'rate'>;
  readonly #claimed = new ClaimedPage();
  readonly #store: StoreBackoff;
  readonly #unwanted = new UnmatchedRecheck();
  #sending = 0;
  #claiming = false;
  /** The last claim found nothing more that is due, and nothing has happened since. */
  #drained = false;
  #wakes = 0;
  #news = 0;
  /** What `#news` was when nothing was found that has not failed while the endpoint was shut. */
  #noOtherAtNews = -1;
  /** Changes of the Subscriptions, and replays. */
  #restarts = 0;
  /** What was claimed has failed before: what was set apart is looked at first. */
  #sweepsNext = false;
  /** Something may come due later that no timer stands for. */
  #mayComeDue = false;
  #stopped = false;

  constructor(authority: string, context: AuthorityQueueContext) {
    this.authority = authority;
    this.#context = context;
    this.#timers = openTimers(context.clock);
    this.#inFlight = new InFlight(context.onError, () => this.resume());
    this.#allowance = new SendAllowance(context.slots, context.perSecond, context.clock);
    this.#endpoints = new Endpoints(authority, context, () => this.#makeDue());
    this.#store = new StoreBackoff(context.clock);
    this.#attempting = {
      authority,
      endpoints: this.#endpoints,
      unmatchedAtMs: (nowMs) => this.#unwanted.timeOf(nowMs),
      isStopped: () => this.#stopped,
    };
  }

  /** Deliveries being sent now. */
  get sending(): number {
    return this.#sending;
  }

  /** Claims, attempts and settlements that have not ended. */
  get inFlight(): number {
    return this.#inFlight.size;
  }

  get endpoints(): Pick<Endpoints, 'failures' | 'lastFailure'> {
    return this.#endpoints;
  }

  /** Something new may be due. */
  wake(): void {
    this.#news += 1;
    this.#goOn();
  }

  /** Something may be due now. */
  #goOn(): void {
    this.#wakes += 1;
    this.#drained = false;
    this.resume();
  }

  /** The Subscriptions of the authority changed: everything pending is tried with them. */
  restart(): void {
    this.#restarts += 1;
    this.#endpoints.forget();
    this.recheckUnmatched();
    this.#makeDue();
  }

  /** What no Subscription asked for is looked at again, in small parts, each when nothing else is due. */
  recheckUnmatched(): void {
    this.#unwanted.ask(this.#context.clock.now());
  }

  /** When its next delivery comes due, epoch ms. */
  dueAt(nextDueMs: number): void {
    this.#timers.set('due', nextDueMs - this.#context.clock.now(), () => {
      this.#mayComeDue = true;
      this.#goOn();
    });
  }

  /** Sends what is claimed as far as the bounds allow, and claims more. */
  resume(): void {
    if (this.#stopped) return;
    const usable = this.#context.subscriptions.usable(this.authority);
    this.#startClaimed(usable);
    this.#claimMore(usable);
    const heldBackMs = this.#endpoints.nextHeldBackProbeInMs(usable);
    if (heldBackMs === undefined) return;
    this.#timers.set('held-back', heldBackMs, () => this.#makeDue(this.#context.pageSize));
  }

  /** Starts nothing more and gives back what was claimed and not sent. */
  halt(): void {
    this.#stopped = true;
    this.#endpoints.close();
    this.#timers.clear();
    this.#releaseClaimed();
  }

  /** Resolves when everything under way has been settled; to be awaited after `halt`. */
  settled(): Promise<void> {
    return this.#inFlight.ended();
  }

  #startClaimed(usable: readonly UsableSubscription[]): void {
    const { clock, deadlineMs } = this.#context;
    while (this.#claimed.size > 0) {
      const may = this.#endpoints.admission(usable);
      const delivery = this.#endpoints.pick(usable, this.#claimed.deliveries, may, this.#unwanted.isWanted);
      const outlives = this.#claimed.outlives(clock.now(), deadlineMs);
      if (delivery === undefined || !outlives) {
        this.#sweepsNext = outlives && may !== 'closed' && this.#unwanted.isWanted;
        if (may === 'untried-only' && !this.#sweepsNext) this.#noOtherAtNews = this.#news;
        this.#releaseClaimed(usable);
        return;
      }
      const taken = this.#allowance.take(this);
      if (taken !== 'taken') {
        if (taken > 0) this.#timers.set('rate', taken, () => this.resume());
        return;
      }
      this.#claimed.take(delivery);
      this.#start(delivery, usable);
    }
  }

  #claimMore(usable: readonly UsableSubscription[]): void {
    const { pageSize } = this.#context;
    if (this.#sweepsNext) {
      if (this.#inFlight.size === 0 && this.#mayAskStore()) this.#sweep();
      return;
    }
    if (this.#drained) {
      if (this.#claimed.size > 0) return;
      if (this.#mayComeDue) {
        this.#mayComeDue = false;
        this.#context.askDue();
      }
      // While no endpoint may be tried nothing is brought back: it would look overdue.
      if (!this.#unwanted.isWanted || this.#inFlight.size > 0) return;
      if (!this.#waitsForProbe(usable) && this.#mayAskStore()) this.#sweep();
      return;
    }
    if (this.#waitsForProbe(usable)) return;
    const may = this.#endpoints.admission(usable);
    const enough = may === 'open' ? pageSize / 4 : 0;
    if (this.#claiming || this.#claimed.size > enough || this.#inFlight.size >= maxInFlight) return;
    if (this.#mayAskStore()) this.#claim(pageSize);
  }

  /** Nothing may be tried now: a timer stands at the next probe, where there will be one. */
  #waitsForProbe(usable: readonly UsableSubscription[]): boolean {
    const may = this.#endpoints.admission(usable);
    if (may !== 'closed' && !(may === 'untried-only' && this.#noOtherAtNews === this.#news)) return false;
    const waitMs = this.#endpoints.nextProbeInMs(usable);
    if (waitMs !== undefined) this.#timers.set('probe', waitMs, () => this.resume());
    return true;
  }

  /** A store that failed is left alone for a while. */
  #mayAskStore(): boolean {
    const { waitMs } = this.#store;
    if (waitMs > 0) this.#timers.set('store', waitMs, () => this.resume());
    return waitMs <= 0;
  }

  #claim(limit: number): void {
    const { deliveries, clock, leaseMs } = this.#context;
    const nowMs = clock.now();
    const leaseEndMs = nowMs + leaseMs;
    const wakes = this.#wakes;
    this.#claiming = true;
    const claim = async () => {
      try {
        const page = await this.#store.ask(() => deliveries.claim(this.authority, limit, nowMs, leaseEndMs));
        this.#claimed.add(page, leaseEndMs);
        this.#drained = page.length < limit && wakes === this.#wakes;
      } finally {
        this.#claiming = false;
      }
      if (this.#stopped) this.#releaseClaimed();
    };
    this.#inFlight.add(claim());
  }

  #start(delivery: ClaimedDelivery, usable: readonly UsableSubscription[]): void {
    this.#sending += 1;
    const restarts = this.#restarts;
    const attempt = attemptDelivery(delivery, usable, this.#attempting, this.#context).finally(() => {
      this.#sending -= 1;
      this.#allowance.giveBack(this);
      this.resume();
    });
    this.#inFlight.add(attempt.then((attempted) => this.#settle(delivery, attempted, restarts)));
  }

  /** `restarts`: as many as there were when the attempt began. */
  async #settle(delivery: ClaimedDelivery, { settlement, heldBackFrom }: Attempted, restarts: number): Promise<void> {
    const { deliveries, clock, onError, onParked } = this.#context;
    const recorded = await settleDelivery(delivery, settlement, deliveries, clock, onError);
    if (settlement.kind === 'released') this.#drained = false;
    if (settlement.kind === 'failed' || recorded === 'unknown') this.#mayComeDue = true;
    if (recorded !== 'recorded') return;
    // An endpoint that answers again, or a change of the Subscriptions, brings back what waits, not what was leased then.
    const isLate = restarts !== this.#restarts || heldBackFrom.some((id) => this.#endpoints.hasRecovered(id));
    if (settlement.kind === 'failed' && isLate) this.#makeDue();
    if (settlement.kind === 'failed' && settlement.park === true) {
      onParked(this.authority, delivery.auditId, settlement.reason);
    }
  }

  /** What none of the Subscriptions asks for need not wait for an endpoint to be set apart. */
  #releaseClaimed(usable: readonly UsableSubscription[] = []): void {
    for (const delivery of this.#claimed.takeAll()) {
      const given = giveBack(delivery, usable, this.#attempting, this.#context);
      this.#inFlight.add(this.#settle(delivery, given, this.#restarts));
    }
  }

  #sweep(): void {
    const { deliveries, pageSize, clock } = this.#context;
    this.#sweepsNext = false;
    const made = this.#store.ask(() => this.#unwanted.next(deliveries, this.authority, pageSize, clock.now()));
    this.#inFlight.add(made.then((count) => (count > 0 ? this.#goOn() : undefined)));
  }

  /** Brings back what waits, at most so many. */
  #makeDue(most?: number): void {
    const made = requeueAll(this.#context.deliveries, this.authority, this.#context.clock.now(), 'waiting', most);
    this.#inFlight.add(made.then(() => undefined).finally(() => this.#goOn()));
  }
}
