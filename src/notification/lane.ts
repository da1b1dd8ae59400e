import type { ClaimedDelivery, DeliveryQueue, Settlement } from '../store/store.ts';
import { Endpoints, type EndpointsContext } from './endpoints.ts';
import { makeAllDue, makeDueChunk } from './make-due.ts';
import { fullRate, takeToken } from './rate-limit.ts';
import type { SelectEvent } from './select-event.ts';
import type { SendSlots } from './send-slots.ts';
import { settleDelivery } from './settle-delivery.ts';
import { settle } from './settlement.ts';
import type { Subscriptions, UsableSubscription } from './subscriptions.ts';
import { openTimers } from './timers.ts';

/** What all lanes share. */
export interface LaneContext extends EndpointsContext {
  readonly deliveries: DeliveryQueue;
  readonly subscriptions: Pick<Subscriptions, 'usable' | 'failing' | 'recovered'>;
  readonly selectEvent: SelectEvent;
  /** The JSON text of an AuditEvent as this authority may have it. */
  readonly renderEvent: (body: string, authority: string) => string;
  readonly slots: SendSlots;
  readonly leaseMs: number;
  readonly deadlineMs: number;
  readonly pageSize: number;
  /** Deliveries that one authority is sent in a second, on average. */
  readonly perSecond: number;
  readonly onError: (error: unknown) => void;
  /** A delivery has been parked; `reason` is the class of its last failure. */
  readonly onParked: (authority: string, auditId: string, reason: string) => void;
  /** The lane has nothing due but may hold what comes due later: it wants `dueAt`. */
  readonly askDue: () => void;
}

const mostUnderWay = 256;

/**
 * The deliveries of one authority: claimed in pages, sent side by side within bounds, settled. Between signals it does
 * nothing: a timer stands at the next due delivery, the next probe, or the next try of a store that failed.
 */
export class Lane {
  readonly authority: string;
  readonly #context: LaneContext;
  readonly #endpoints: Endpoints;
  readonly #underWay = new Set<Promise<void>>();
  readonly #timers;
  #rate;
  #claimed: ClaimedDelivery[] = [];
  #leaseEndMs = 0;
  #sending = 0;
  #claiming = false;
  /** The last claim found nothing more that is due, and nothing has happened since. */
  #drained = false;
  #wakes = 0;
  #news = 0;
  /** What `#news` was when nothing was found that has not failed while the endpoint was shut. */
  #noOtherAtNews = -1;
  /** Something may come due later that no timer stands for. */
  #mayComeDue = false;
  #storeFailures = 0;
  #storeRetryAtMs = 0;
  /** Grows when the Subscriptions change: what was unwanted before may be wanted now. */
  #generation = 0;
  /** What was set apart as unwanted before this time is looked at again, while `#sweeping`, when nothing else is due. */
  #sweepBeforeMs = 0;
  #sweeping = false;
  #stopped = false;

  constructor(authority: string, context: LaneContext) {
    this.authority = authority;
    this.#context = context;
    this.#timers = openTimers<'due' | 'probe' | 'store' | 'rate'>(context.clock);
    this.#rate = fullRate(context.perSecond, context.clock.elapsed());
    this.#endpoints = new Endpoints(authority, context, () => this.#makeDue());
  }

  /** Deliveries being sent now. */
  get sending(): number {
    return this.#sending;
  }

  /** Claims, attempts and settlements that have not ended. */
  get underWay(): number {
    return this.#underWay.size;
  }

  get endpointFailures(): number {
    return this.#endpoints.failures;
  }

  /** The class of the last failure while an endpoint fails. */
  get lastFailure(): string | undefined {
    return this.#endpoints.lastFailure;
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
    this.#generation += 1;
    this.#endpoints.forget();
    this.sweepUnwanted();
    this.#makeDue();
  }

  /** What no Subscription asked for is looked at again, in small parts, each when nothing else is due. */
  sweepUnwanted(): void {
    this.#sweepBeforeMs = Math.max(this.#context.clock.now(), this.#sweepBeforeMs) + 1;
    this.#sweeping = true;
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
  }

  /** Starts nothing more and gives back what was claimed and not sent. */
  halt(): void {
    this.#stopped = true;
    this.#endpoints.close();
    this.#timers.clear();
    this.#releaseClaimed();
  }

  /** Resolves when everything under way has been settled; to be awaited after `halt`. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #startClaimed(usable: readonly UsableSubscription[]): void {
    while (this.#claimed.length > 0) {
      const may = this.#endpoints.mayTry(usable);
      const delivery = this.#endpoints.pick(usable, this.#claimed, may);
      if (delivery === undefined || !this.#outlivesAttempt()) {
        if (may === 'another') this.#noOtherAtNews = this.#news;
        this.#releaseClaimed();
        return;
      }
      if (!this.#mayTake()) return;
      this.#claimed = this.#claimed.filter((claimed) => claimed !== delivery);
      this.#start(delivery, usable);
    }
  }

  /** Whether the lease of what is claimed outlasts an attempt that begins now. */
  #outlivesAttempt(): boolean {
    const { clock, deadlineMs } = this.#context;
    return clock.now() + deadlineMs < this.#leaseEndMs;
  }

  /** A slot and a token of the rate: of one without the other nothing is taken. */
  #mayTake(): boolean {
    const { slots, clock, perSecond } = this.#context;
    const { limit, waitMs } = takeToken(this.#rate, perSecond, clock.elapsed());
    if (waitMs > 0) this.#timers.set('rate', waitMs, () => this.resume());
    if (waitMs > 0 || !slots.take(this)) return false;
    this.#rate = limit;
    return true;
  }

  #claimMore(usable: readonly UsableSubscription[]): void {
    const { pageSize } = this.#context;
    if (this.#drained) {
      if (this.#claimed.length > 0) return;
      if (this.#mayComeDue) {
        this.#mayComeDue = false;
        this.#context.askDue();
      }
      if (this.#sweeping && usable.length > 0 && this.#underWay.size === 0 && this.#mayAskStore()) this.#sweep();
      return;
    }
    const may = this.#endpoints.mayTry(usable);
    if (may === 'none' || (may === 'another' && this.#noOtherAtNews === this.#news)) {
      const waitMs = this.#endpoints.nextProbeInMs(usable);
      if (waitMs !== undefined) this.#timers.set('probe', waitMs, () => this.resume());
      return;
    }
    const enough = may === 'all' ? pageSize / 4 : 0;
    if (this.#claiming || this.#claimed.length > enough || this.#underWay.size >= mostUnderWay) return;
    if (this.#mayAskStore()) this.#claim(pageSize);
  }

  /** A store that failed is left alone for a while. */
  #mayAskStore(): boolean {
    const waitMs = this.#storeRetryAtMs - this.#context.clock.elapsed();
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
        const page = await deliveries.claim(this.authority, limit, nowMs, leaseEndMs);
        this.#leaseEndMs = this.#claimed.length > 0 ? Math.min(this.#leaseEndMs, leaseEndMs) : leaseEndMs;
        this.#claimed.push(...page);
        this.#drained = page.length < limit && wakes === this.#wakes;
        this.#storeFailures = 0;
      } catch (error) {
        this.#storeFails();
        throw error;
      } finally {
        this.#claiming = false;
      }
      if (this.#stopped) this.#releaseClaimed();
    };
    this.#track(claim());
  }

  #storeFails(): void {
    this.#storeFailures += 1;
    this.#storeRetryAtMs = this.#context.clock.elapsed() + Math.min(250 * 2 ** this.#storeFailures, 30_000);
  }

  #start(delivery: ClaimedDelivery, usable: readonly UsableSubscription[]): void {
    this.#sending += 1;
    const generation = this.#generation;
    const attempt = this.#attempt(delivery, usable).finally(() => {
      this.#sending -= 1;
      this.#context.slots.giveBack(this);
      this.resume();
    });
    this.#track(attempt.then((settlement) => this.#settle(delivery, settlement, generation)));
  }

  async #attempt(delivery: ClaimedDelivery, usable: readonly UsableSubscription[]): Promise<Settlement> {
    const { clock, random, selectEvent, renderEvent } = this.#context;
    const event = { ...delivery, body: renderEvent(delivery.body, this.authority) };
    const selects = selectEvent(event.body);
    const wanting = usable.filter(({ clauses }) => selects(clauses));
    if (wanting.length === 0) return { kind: 'unwanted', atMs: Math.max(clock.now(), this.#sweepBeforeMs) };
    const open = wanting.filter(({ id }) => !delivery.acknowledgedBy.includes(id));
    const outcomes = await Promise.all(open.map((to) => this.#endpoints.sendTo(to, event)));
    const unsent = outcomes.length > 0 && outcomes.every(({ result }) => result === undefined);
    const cut = this.#stopped && !outcomes.every(({ result }) => result?.kind === 'acknowledged');
    if (cut || (unsent && this.#endpoints.mayTry(usable) === 'none')) return { kind: 'released' };
    return settle(delivery, outcomes, clock.now(), random);
  }

  async #settle(delivery: ClaimedDelivery, settlement: Settlement, generation: number): Promise<void> {
    const { deliveries, clock, onError, onParked } = this.#context;
    const recorded = await settleDelivery(delivery, settlement, deliveries, clock, onError);
    if (settlement.kind === 'released') this.#drained = false;
    if (settlement.kind === 'failed' || recorded === 'unknown') this.#mayComeDue = true;
    if (recorded !== 'recorded') return;
    if (settlement.kind === 'unwanted' && generation !== this.#generation) this.sweepUnwanted();
    if (settlement.kind === 'failed' && settlement.park === true) {
      onParked(this.authority, delivery.auditId, settlement.reason);
    }
  }

  #releaseClaimed(): void {
    const claimed = this.#claimed;
    this.#claimed = [];
    for (const delivery of claimed) this.#track(this.#settle(delivery, { kind: 'released' }, this.#generation));
  }

  #sweep(): void {
    const sweep = async () => {
      const beforeMs = this.#sweepBeforeMs;
      try {
        const { deliveries } = this.#context;
        const made = await deliveries.makeDue(this.authority, beforeMs, 'unwanted', makeDueChunk);
        if (made < makeDueChunk && beforeMs === this.#sweepBeforeMs) this.#sweeping = false;
        if (made > 0) this.#goOn();
      } catch (error) {
        this.#storeFails();
        throw error;
      }
    };
    this.#track(sweep());
  }

  #makeDue(): void {
    const { deliveries, clock } = this.#context;
    const made = makeAllDue(deliveries, this.authority, clock.now(), 'waiting');
    this.#track(made.then(() => undefined).finally(() => this.#goOn()));
  }

  #track(task: Promise<void>): void {
    const tracked = task.catch(this.#context.onError).then(() => {
      this.#underWay.delete(tracked);
      this.resume();
    });
    this.#underWay.add(tracked);
  }
}
