import type { Clock } from '../../clock/clock.ts';
import type { Credential } from '../../cpis/caller.ts';
import { renderNotification } from '../../fhir/subscription/notification-bundle.ts';
import { networkOf } from '../../net/address.ts';
import type { SubscriptionEvents } from '../../store/store.ts';
import type { EventReader } from '../events/event-reader.ts';
import type { UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { stateOf } from './topic-message.ts';

/** One open WebSocket, independent of the library. */
export interface SocketChannel {
  /** The network address of the subscriber. */
  readonly address: string;
  /** SHA-256 thumbprint of its verified TLS client certificate, if it has one. */
  readonly certificate?: string;
  /** Resolves when the text has left this process. Rejects if the connection is broken. */
  send(text: string): Promise<void>;
  close(code: number, reason: string): void;
  /** Adds a listener for text messages, called in order. */
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

/** A client that has bound the connection, and the credential of the token that it did so with. */
export interface Holder {
  readonly owner: string;
  readonly clientId: string;
  readonly credential: Credential;
}

interface Bound {
  to: UsableSubscription;
  /** The number of the last event that was sent. */
  sentThrough: number;
  /** Events are being sent; `again`: there may be more. */
  sending: boolean;
  again: boolean;
}

/**
 * One connection, with the events sent on it. Each Bundle is sent when the one before it has left, so that a slow
 * subscriber delays only itself and nothing piles up here.
 */
export class SocketSession {
  /** The network of the other side, as limits count it. */
  readonly network: string;
  readonly #channel: SocketChannel;
  readonly #context: SessionContext;
  readonly #bound = new Map<string, Bound>();
  readonly #holders = new Map<string, Holder>();
  #owner: string | undefined;
  #open = true;

  constructor(channel: SocketChannel, context: SessionContext) {
    this.#channel = channel;
    this.#context = context;
    this.network = networkOf(channel.address);
  }

  /** The authority that it is bound to; undefined: not bound yet. */
  get owner(): string | undefined {
    return this.#owner;
  }

  get holders(): readonly Holder[] {
    return [...this.#holders.values()];
  }

  /** SHA-256 thumbprint of the client certificate of the connection, if it has one. */
  get certificate(): string | undefined {
    return this.#channel.certificate;
  }

  /** Gives the connection to a client of the authority, before anything is sent. */
  admit({ owner, clientId, credential }: Holder): void {
    this.#owner = owner;
    this.#holders.set(JSON.stringify([clientId, credential]), { owner, clientId, credential });
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Returns the last event number that was sent for the Subscription; 0: none. */
  sentThrough(id: string): number {
    return this.#bound.get(id)?.sentThrough ?? 0;
  }

  /** Sends the handshake, then the events that the subscriber has not acknowledged yet. */
  async bind(to: UsableSubscription): Promise<void> {
    const { subscriptionEvents } = this.#context.store;
    const last = await subscriptionEvents.last(to.id);
    const acknowledged = await subscriptionEvents.acknowledged(to.id);
    if (!this.#open) return;
    await this.say(this.#render(to, 'handshake', [], last));
    this.#bound.set(to.id, { to, sentThrough: acknowledged, sending: false, again: false });
    this.sendNew(to.id);
  }

  /** Drops the Subscriptions that are no longer usable and updates the others. Returns how many are left. */
  keep(usable: ReadonlyMap<string, UsableSubscription>): number {
    for (const [id, bound] of this.#bound) {
      const to = usable.get(id);
      if (to === undefined) this.#bound.delete(id);
      else bound.to = to;
    }
    return this.#bound.size;
  }

  /** Sends new events of the Subscription, if there are any. Returns at once. */
  sendNew(id: string): void {
    const bound = this.#bound.get(id);
    if (bound === undefined || !this.#open) return;
    bound.again = true;
    if (bound.sending) return;
    bound.sending = true;
    this.#sendAll(id, bound)
      .catch((error: unknown) => {
        this.#context.onError(error);
        this.close(1011, 'the server failed; try again later');
      })
      .finally(() => {
        bound.sending = false;
      });
  }

  sendAll(): void {
    for (const id of this.#bound.keys()) this.sendNew(id);
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
      // The connection is broken. The subscriber will bind again and be sent what it has not acknowledged.
      this.ended();
    }
  }

  close(code: number, reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#channel.close(code, reason);
  }

  /** Call when the subscriber has closed the connection. */
  ended(): void {
    this.#open = false;
    this.#bound.clear();
  }

  async #sendAll(id: string, bound: Bound): Promise<void> {
    const { store, reader } = this.#context;
    const { subscriptionEvents } = store;
    while (bound.again && this.#open && this.#bound.get(id) === bound) {
      bound.again = false;
      const { maxCount } = bound.to.channel.topic ?? { maxCount: 1 };
      const from = bound.sentThrough + 1;
      const page = await subscriptionEvents.range(id, from, Number.MAX_SAFE_INTEGER, maxCount);
      const through = page.at(-1)?.number;
      if (through === undefined) continue;
      const events = await reader.read(bound.to.owner, page);
      const last = await subscriptionEvents.last(id);
      // The Subscription may have been withdrawn meanwhile.
      if (this.#bound.get(id) !== bound) return;
      if (events.length > 0) await this.say(this.#render(bound.to, 'event-notification', events, last));
      bound.sentThrough = through;
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
