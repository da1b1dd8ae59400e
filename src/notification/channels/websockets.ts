import type { Clock } from '../../clock/clock.ts';
import type { Credential } from '../../cpis/caller.ts';
import type { DeliveryQueue, Store } from '../../store/store.ts';
import type { EventNumbers } from '../events/event-numbers.ts';
import type { EventReader } from '../events/event-reader.ts';
import type { Subscriptions, UsableSubscription } from '../subscriptions/usable-subscription.ts';
import { type Binding, parseBindingToken } from './binding-token.ts';
import { settleAcknowledged } from './settle-acknowledged.ts';
import { type Holder, type SocketChannel, SocketSession } from './socket-session.ts';

/** The WebSockets of subscribers that have no reachable endpoint: they connect to this server and bind with a token. */
export interface Websockets {
  /** Accepts an open connection. */
  accept(channel: SocketChannel): void;
  heartbeat(to: UsableSubscription): Promise<void>;
  /** Closes the connections whose client, key, issuer or certificate the registry no longer allows. Call after a reload. */
  recheck(): void;
  /** Closes every connection. */
  close(): void;
}

export interface WebsocketsOptions {
  readonly store: Pick<Store, 'useOnce' | 'subscriptionEvents'> & { readonly deliveries: DeliveryQueue };
  readonly subscriptions: Pick<Subscriptions, 'usable' | 'onChange'>;
  readonly numbers: Pick<EventNumbers, 'allNumbered' | 'onNumbered'>;
  readonly reader: EventReader;
  readonly clock: Clock;
  readonly baseUrl: string;
  readonly newId: () => string;
  /** Whether the client belongs to the authority now and may receive its AuditEvents, with this credential. */
  readonly mayConnect: (owner: string, clientId: string, credential: Credential) => boolean;
  /** The keys that binding tokens may be signed with. */
  readonly bindingKeys: () => readonly Uint8Array[];
  readonly onError: (error: unknown) => void;
}

/** Codes of RFC 6455 7.4.1. */
const policyViolation = 1008;
const tryAgainLater = 1013;
const goingAway = 1001;

/** How long a connection may stay unbound before it is closed. */
const bindWithinMs = 10_000;
const maxUnbound = 1_000;
/** Maximum unbound connections of one network. */
const maxUnboundOfNetwork = 20;
/** A new Subscription is in use only a moment after it was written: look again after this. */
const lookAgainMs = 250;
const maxLooks = 8;
const maxSessionsOfOwner = 10;
/** How often to look for events that another server has numbered. */
const lookEveryMs = 5_000;

export function openWebsockets(options: WebsocketsOptions): Websockets {
  const { store, subscriptions, numbers, clock, mayConnect, bindingKeys, onError } = options;
  const sessions = new Set<SocketSession>();

  const usableSockets = (owner: string): ReadonlyMap<string, UsableSubscription> =>
    new Map(
      subscriptions
        .usable(owner)
        .filter(({ channel }) => channel.type === 'websocket')
        .map((usable) => [usable.id, usable]),
    );

  const mayHold = ({ owner, clientId, credential }: Holder): boolean => mayConnect(owner, clientId, credential);
  const isBoundElsewhere = ({ credential: { certificate } }: Holder, session: SocketSession): boolean =>
    certificate !== undefined && certificate !== session.certificate;

  async function bind(session: SocketSession, token: string): Promise<void> {
    const binding: Binding | undefined = parseBindingToken(token, bindingKeys(), clock.now());
    const isOthers = session.owner !== undefined && session.owner !== binding?.owner;
    if (binding === undefined || isOthers || !mayHold(binding) || isBoundElsewhere(binding, session)) {
      session.close(policyViolation, 'the token is not valid for this connection');
      return;
    }
    if (!(await store.useOnce(`ws-binding:${binding.nonce}`, binding.expiresAtMs, clock.now()))) {
      session.close(policyViolation, 'the token has already been used');
      return;
    }
    const others = [...sessions].filter((each) => each !== session && each.owner === binding.owner);
    if (others.length >= maxSessionsOfOwner) {
      session.close(tryAgainLater, 'too many connections of this authority');
      return;
    }
    const findBound = (): UsableSubscription[] => {
      const usable = usableSockets(binding.owner);
      return binding.subscriptionIds.flatMap((id) => usable.get(id) ?? []);
    };
    let bound = findBound();
    for (let looks = 1; bound.length === 0 && looks < maxLooks && session.isOpen; looks += 1) {
      await new Promise<void>((resolve) => clock.after(lookAgainMs, resolve));
      bound = findBound();
    }
    if (bound.length === 0) {
      session.close(policyViolation, 'no Subscription of the token is in use');
      return;
    }
    await numbers.allNumbered(binding.owner);
    // The registry may have been reloaded meanwhile. From here on, `recheck` finds the session.
    if (!mayHold(binding)) {
      session.close(policyViolation, 'the token is not valid for this connection');
      return;
    }
    session.admit(binding);
    for (const to of bound) await session.bind(to);
  }

  async function acknowledge(session: SocketSession, id: string, through: number): Promise<void> {
    const to = session.owner === undefined ? undefined : usableSockets(session.owner).get(id);
    if (to === undefined || through > session.sentThrough(id)) {
      session.close(policyViolation, 'no event with this number has been sent');
      return;
    }
    await settleAcknowledged(to, through, { ...store, subscriptions, clock });
    await session.say(`acknowledged ${id} ${through}`);
  }

  function take(session: SocketSession, message: string): Promise<void> {
    const [, token] = /^bind-with-token[ :]+(\S{1,4096})$/.exec(message) ?? [];
    if (token !== undefined) return bind(session, token);
    const [, id, number] = /^ack ([A-Za-z0-9.-]{1,64}) ([1-9]\d{0,14})$/.exec(message) ?? [];
    if (id !== undefined) return acknowledge(session, id, Number(number));
    session.close(policyViolation, 'unknown message');
    return Promise.resolve();
  }

  numbers.onNumbered((owner, id) => {
    for (const session of sessions) if (session.owner === owner) session.sendNew(id);
  });
  subscriptions.onChange((owner) => {
    const usable = usableSockets(owner);
    for (const session of sessions) {
      if (session.owner !== owner) continue;
      if (session.keep(session.holders.every(mayHold) ? usable : new Map()) === 0) {
        session.close(policyViolation, 'no Subscription is in use any longer');
      }
    }
  });
  let closed = false;
  let cancelLook: (() => void) | undefined;
  function lookLater(): void {
    if (closed || cancelLook !== undefined || sessions.size === 0) return;
    cancelLook = clock.after(lookEveryMs, () => {
      cancelLook = undefined;
      for (const session of sessions) session.sendAll();
      lookLater();
    });
  }

  return {
    accept(channel) {
      const unbound = [...sessions].filter(({ owner }) => owner === undefined);
      const session = new SocketSession(channel, options);
      const ofNetwork = unbound.filter(({ network }) => network === session.network);
      if (closed || unbound.length >= maxUnbound || ofNetwork.length >= maxUnboundOfNetwork) {
        session.close(tryAgainLater, 'too many connections');
        return;
      }
      sessions.add(session);
      lookLater();
      const cancelBind = clock.after(bindWithinMs, () => {
        if (session.owner === undefined) session.close(policyViolation, 'no token was sent in time');
      });
      /** Handles one message at a time. */
      let handled = Promise.resolve();
      let waiting = 0;
      channel.onMessage((message) => {
        waiting += 1;
        if (waiting > 100) {
          session.close(policyViolation, 'too many messages');
          return;
        }
        handled = handled
          .then(() => (session.isOpen ? take(session, message) : undefined))
          .catch((error: unknown) => {
            onError(error);
            session.close(tryAgainLater, 'the server is unavailable; try again later');
          })
          .finally(() => {
            waiting -= 1;
          });
      });
      channel.onClose(() => {
        cancelBind();
        session.ended();
        sessions.delete(session);
      });
    },
    async heartbeat(to) {
      await Promise.all([...sessions].map((session) => session.heartbeat(to).catch(onError)));
    },
    recheck() {
      for (const session of sessions) {
        if (session.holders.every(mayHold)) continue;
        session.keep(new Map());
        session.close(policyViolation, 'the client may not connect any longer');
      }
    },
    close() {
      closed = true;
      cancelLook?.();
      for (const session of sessions) session.close(goingAway, 'the server is shutting down');
    },
  };
}
