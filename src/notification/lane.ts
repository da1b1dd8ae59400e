import type { ClaimedDelivery, DeliveryQueue, Settlement } from '../store/store.ts';
import { Endpoints, type EndpointsContext } from './endpoints.ts';
import { makeAllDue } from './make-due.ts';
import type { SelectEvent } from './select-event.ts';
import type { SendSlots } from './send-slots.ts';
import { settleDelivery } from './settle-delivery.ts';
import { settle, settleUnwanted } from './settlement.ts';
import type { Subscriptions, UsableSubscription } from './subscriptions.ts';

/** What all lanes share. */
export interface LaneContext extends EndpointsContext {
  readonly deliveries: DeliveryQueue;
  readonly subscriptions: Subscriptions;
  readonly selectEvent: SelectEvent;
  /** The JSON text of an AuditEvent as this authority may have it. */
  readonly renderEvent: (body: string, authority: string) => string;
  readonly slots: SendSlots;
  readonly leaseMs: number;
  readonly deadlineMs: number;
  readonly pageSize: number;
  readonly onError: (error: unknown) => void;
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
  readonly #timers = new Map<string, () => void>();
  #claimed: ClaimedDelivery[] = [];
  #leaseEndMs = 0;
  #sending = 0;
  #claiming = false;
  /** The last claim found nothing more that is due, and nothing has happened since. */
  #drained = false;
  #wakes = 0;
  /** Something may come due later that no timer stands for. */
  #mayComeDue = false;
  #storeFailures = 0;
  #storeRetryAtMs = 0;
  #stopped = false;

  constructor(authority: string, context: LaneContext) {
    this.authority = authority;
    this.#context = context;
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

  /** Something may be due now. */
  wake(): void {
    this.#wakes += 1;
    this.#drained = false;
    this.resume();
  }

  /** The Subscriptions of the authority changed: everything pending is tried with them. */
  restart(): void {
    this.#endpoints.forget();
    this.#makeDue();
  }

  /** When its next delivery comes due, epoch ms. */
  dueAt(nextDueMs: number): void {
    this.#timer('due', nextDueMs, () => {
      this.#mayComeDue = true;
      this.wake();
    });
  }

  /** Sends what is claimed as far as the bounds allow, and claims more. */
  resume(): void {
    if (this.#stopped) return;
    const usable = this.#context.subscriptions.usable(this.authority);
    while (this.#claimed.length > 0 && this.#maySend(usable) && this.#context.slots.take(this)) {
      const delivery = this.#claimed.shift();
      if (delivery !== undefined) this.#start(delivery, usable);
    }
    if (this.#claimed.length > 0 && !this.#maySend(usable)) this.#releaseClaimed();
    this.#claimMore(usable);
  }

  /** Starts nothing more and gives back what was claimed and not sent. */
  halt(): void {
    this.#stopped = true;
    this.#endpoints.close();
    for (const cancel of this.#timers.values()) cancel();
    this.#timers.clear();
    this.#releaseClaimed();
  }

  /** Resolves when everything under way has been settled; to be awaited after `halt`. */
  async settled(): Promise<void> {
    while (this.#underWay.size > 0) await Promise.all(this.#underWay);
  }

  #maySend(usable: readonly UsableSubscription[]): boolean {
    const { clock, deadlineMs } = this.#context;
    return this.#endpoints.mayTry(usable) !== 'none' && clock.now() + deadlineMs < this.#leaseEndMs;
  }

  #claimMore(usable: readonly UsableSubscription[]): void {
    const { clock, pageSize } = this.#context;
    if (this.#drained) {
      if (!this.#mayComeDue || this.#claimed.length > 0) return;
      this.#mayComeDue = false;
      this.#context.askDue();
      return;
    }
    const may = this.#endpoints.mayTry(usable);
    if (may === 'none') {
      const nextMs = this.#endpoints.nextProbeMs(usable);
      if (nextMs !== undefined) this.#timer('probe', nextMs, () => this.resume());
      return;
    }
    const enough = may === 'one' ? 0 : pageSize / 4;
    if (this.#claiming || this.#claimed.length > enough || this.#underWay.size >= mostUnderWay) return;
    if (this.#storeRetryAtMs > clock.now()) this.#timer('store', this.#storeRetryAtMs, () => this.resume());
    else this.#claim(may === 'one' ? 1 : pageSize);
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
        this.#storeFailures += 1;
        this.#storeRetryAtMs = clock.now() + Math.min(250 * 2 ** this.#storeFailures, 30_000);
        throw error;
      } finally {
        this.#claiming = false;
      }
      if (this.#stopped) this.#releaseClaimed();
    };
    this.#track(claim());
  }

  #start(delivery: ClaimedDelivery, usable: readonly UsableSubscription[]): void {
    this.#sending += 1;
    const attempt = this.#attempt(delivery, usable).finally(() => {
      this.#sending -= 1;
      this.#context.slots.giveBack(this);
      this.resume();
    });
    this.#track(attempt.then((settlement) => this.#settle(delivery, settlement)));
  }

  async #attempt(delivery: ClaimedDelivery, usable: readonly UsableSubscription[]): Promise<Settlement> {
    const { clock, random, selectEvent, renderEvent } = this.#context;
    const event = { ...delivery, body: renderEvent(delivery.body, this.authority) };
    const selects = selectEvent(event.body);
    const wanting = usable.filter(({ clauses }) => selects(clauses));
    if (wanting.length === 0) return settleUnwanted(clock.now());
    const open = wanting.filter(({ id }) => !delivery.acknowledgedBy.includes(id));
    const outcomes = await Promise.all(open.map((to) => this.#endpoints.sendTo(to, event)));
    const unsent = outcomes.length > 0 && outcomes.every(({ result }) => result === undefined);
    const cut = this.#stopped && !outcomes.every(({ result }) => result?.kind === 'acknowledged');
    if (cut || (unsent && this.#endpoints.mayTry(usable) === 'none')) return { kind: 'released' };
    return settle(delivery, outcomes, clock.now(), random);
  }

  async #settle(delivery: ClaimedDelivery, settlement: Settlement): Promise<void> {
    const { deliveries, clock, onError } = this.#context;
    const recorded = await settleDelivery(delivery, settlement, deliveries, clock, onError);
    if (settlement.kind === 'released') this.#drained = false;
    if (settlement.kind === 'failed' || !recorded) this.#mayComeDue = true;
  }

  #releaseClaimed(): void {
    const claimed = this.#claimed;
    this.#claimed = [];
    for (const delivery of claimed) this.#track(this.#settle(delivery, { kind: 'released' }));
  }

  #makeDue(): void {
    const { deliveries, clock } = this.#context;
    const makeDue = async () => {
      await makeAllDue(deliveries, this.authority, clock.now(), 'waiting');
      this.wake();
    };
    this.#track(makeDue());
  }

  #track(task: Promise<void>): void {
    const tracked = task.catch(this.#context.onError).then(() => {
      this.#underWay.delete(tracked);
      this.resume();
    });
    this.#underWay.add(tracked);
  }

  #timer(name: 'due' | 'probe' | 'store', atMs: number, run: () => void): void {
    this.#timers.get(name)?.();
    const { clock } = this.#context;
    const cancel = clock.after(Math.max(1, atMs - clock.now()), () => {
      this.#timers.delete(name);
      run();
    });
    this.#timers.set(name, cancel);
  }
}
