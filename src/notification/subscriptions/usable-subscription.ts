import type { SearchClause } from '../../fhir/search/ast.ts';
import type { Channel, SubscriptionStatus } from './subscription.ts';

/** A Subscription that notifications are sent for. */
export interface UsableSubscription {
  readonly id: string;
  /** Id of the authority that owns it. */
  readonly owner: string;
  /** `requested`: its endpoint is being looked at. Nothing is sent to it yet, and what it asks for waits for it. */
  readonly status: SubscriptionStatus;
  readonly channel: Channel;
  readonly method: 'PUT' | 'POST';
  /** The HMAC secrets of its client. */
  readonly secrets: readonly Uint8Array[];
  /** The criteria; empty: every event of the authority. */
  readonly clauses: readonly SearchClause[];
  /** No handshake has been accepted yet: one goes before the first event. */
  readonly awaitsHandshake: boolean;
}

/** The Subscriptions in use, by authority, held in memory and rebuilt from the store. */
export interface Subscriptions {
  /** Those of one authority that are in use now, or are about to be (`requested`). */
  usable(authority: string): readonly UsableSubscription[];
  /**
   * To be called after a commit that wrote or deleted a Subscription of the authority: reads them anew, tells the listeners,
   * and begins to activate what is requested, each on its own, telling them again for each. Resolves when all of that is
   * done; calls made before the reading starts share it. Store errors go to `onError`.
   */
  changed(authority: string): Promise<void>;
  /** The same for every authority: the registry was reloaded. */
  reload(): Promise<void>;
  /** Deliveries to it fail: it moves to `error`. `reason` is a short class. */
  failing(authority: string, id: string, reason: string): void;
  /** A delivery was acknowledged: it moves back to `active`. */
  recovered(authority: string, id: string): void;
  /** Calls `listener`, beside those given before, when what is usable for an authority may have changed. */
  onChange(listener: (authority: string) => void): void;
  /** Every authority that is known to have, or to have had, a Subscription. */
  authorities(): readonly string[];
  /** How handshakes are sent: until it is called, topic-based Subscriptions that are requested wait. */
  handshakeBy(handshake: Handshake): void;
  /** Resolves when no write is under way any more. */
  close(): Promise<void>;
}

/** Sends the handshake of a topic-based Subscription. Undefined: accepted, else the class of the failure. Never rejects. */
export type Handshake = (subscription: UsableSubscription) => Promise<string | undefined>;
