import type { Clock } from '../../clock/clock.ts';
import { renderNotification } from '../../fhir/subscription/notification-bundle.ts';
import type { SubscriptionEvents } from '../../store/store.ts';
import type { EventReader } from '../events/event-reader.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { stateOf } from './topic-message.ts';

/** One open WebSocket, whatever carries it. */
export interface SocketChannel {
  /** The network address of the other side. */
  readonly address: string;
  /** Resolves when the text has left this process; rejects when it cannot any more. */
  send(text: string): Promise<void>;
  close(code: number, reason: string): void;
  /** Each text message, as it comes. */
  onMessage(listener: (text: string) => void): void;
  onClose(listener: () => void): void;
}

export interface SessionContext {
  readonly store: { readonly subscriptionEvents: Pick<SubscriptionEvents, 'last' | 'range' | 'acknowledged'> };
  readonly reader: EventReader;
  readonly clock: Clock;
  readonly baseUrl: string;
  readonly newId: () => string;
  readonly onError: (error: unknown) => void;
}

interface Bound {
  to: UsableSubscription;
  /** The last event that was told. */
  toldThrough: number;
  /** Events are being told; there may be more by the time that it ends. */
  telling: boolean;
  again: boolean;
}

/**
 * What one connection has been told of. Each Bundle goes when the one before it has left, so that a subscriber that reads
 * slowly holds up nothing but itself, and nothing piles up for it here.
 */
export class SocketSession {
  readonly #channel: SocketChannel;
  readonly #context: SessionContext;
  readonly #bound = new Map<string, Bound>();
  readonly #clientIds = new Set<string>();
  #owner: string | undefined;
  #open = true;

  constructor(channel: SocketChannel, context: SessionContext) {
    this.#channel = channel;
    this.#context = context;
  }

  get address(): string {
    return this.#channel.address;
  }

  /** The authority that it is bound to; undefined: not bound yet. */
  get owner(): string | undefined {
    return this.#owner;
  }

  /** The clients whose tokens it was bound with. */
  get clientIds(): readonly string[] {
    return [...this.#clientIds];
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** The last event number that was told of the Subscription; 0: none. */
  toldThrough(id: string): number {
    return this.#bound.get(id)?.toldThrough ?? 0;
  }

  /** Shakes hands, then tells what the subscriber has not acknowledged yet. */
  async bind(to: UsableSubscription, clientId: string): Promise<void> {
    const { subscriptionEvents } = this.#context.store;
    const last = await subscriptionEvents.last(to.id);
    const acknowledged = await subscriptionEvents.acknowledged(to.id);
    this.#owner = to.owner;
    this.#clientIds.add(clientId);
    await this.say(this.#render(to, 'handshake', [], last));
    this.#bound.set(to.id, { to, toldThrough: acknowledged, telling: false, again: false });
    this.tell(to.id);
  }

  /** Keeps what is still in use, as it is now; how many that are. */
  keep(usable: ReadonlyMap<string, UsableSubscription>): number {
    for (const [id, bound] of this.#bound) {
      const to = usable.get(id);
      if (to === undefined) this.#bound.delete(id);
      else bound.to = to;
    }
    return this.#bound.size;
  }

  /** There may be new events of the Subscription. Returns at once. */
  tell(id: string): void {
    const bound = this.#bound.get(id);
    if (bound === undefined || !this.#open) return;
    bound.again = true;
    if (bound.telling) return;
    bound.telling = true;
    this.#tellAll(id, bound)
      .catch((error: unknown) => {
        this.#context.onError(error);
        this.close(1011, 'the server failed');
      })
      .finally(() => {
        bound.telling = false;
      });
  }

  tellAll(): void {
    for (const id of this.#bound.keys()) this.tell(id);
  }

  async heartbeat(to: UsableSubscription): Promise<void> {
    if (!this.#open || !this.#bound.has(to.id)) return;
    await this.say(this.#render(to, 'heartbeat', [], await this.#context.store.subscriptionEvents.last(to.id)));
  }

  async say(text: string): Promise<void> {
    if (!this.#open) return;
    try {
      await this.#channel.send(text);
    } catch {
      // The other side is gone: it will bind again, and be told what it has not acknowledged.
      this.ended();
    }
  }

  close(code: number, reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#channel.close(code, reason);
  }

  /** The other side has closed it. */
  ended(): void {
    this.#open = false;
    this.#bound.clear();
  }

  async #tellAll(id: string, bound: Bound): Promise<void> {
    const { store, reader } = this.#context;
    const { subscriptionEvents } = store;
    while (bound.again && this.#open && this.#bound.get(id) === bound) {
      bound.again = false;
      const { maxCount } = bound.to.channel.topic ?? { maxCount: 1 };
      const from = bound.toldThrough + 1;
      const page = await subscriptionEvents.range(id, from, Number.MAX_SAFE_INTEGER, maxCount);
      const through = page.at(-1)?.number;
      if (through === undefined) continue;
      const events = await reader.read(bound.to.owner, page);
      const last = await subscriptionEvents.last(id);
      // It may have been withdrawn meanwhile.
      if (this.#bound.get(id) !== bound) return;
      if (events.length > 0) await this.say(this.#render(bound.to, 'event-notification', events, last));
      bound.toldThrough = through;
      bound.again = true;
    }
  }

  #render(
    to: UsableSubscription,
    type: 'handshake' | 'heartbeat' | 'event-notification',
    events: Parameters<typeof renderNotification>[2],
    last: number,
  ): string {
    const { baseUrl, newId, clock } = this.#context;
    const content = to.channel.topic?.content ?? 'empty';
    return renderNotification(stateOf(to, last), type, events, { baseUrl, newId, nowMs: clock.now(), content });
  }
}
