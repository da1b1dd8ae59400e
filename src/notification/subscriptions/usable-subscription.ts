import type { SearchClause } from '../../fhir/search/ast.ts';
import type { Channel, SubscriptionStatus } from './subscription.ts';

/** A Subscription for which notifications are sent. */
export interface UsableSubscription {
  readonly id: string;
  /** The id of the authority that owns it. */
  readonly owner: string;
  /** `requested`: its endpoint is being verified. Nothing is sent to it yet, and events that it matches wait. */
  readonly status: SubscriptionStatus;
  readonly channel: Channel;
  readonly method: 'PUT' | 'POST';
  /** The HMAC secrets of its client. */
  readonly secrets: readonly Uint8Array[];
  /** The criteria; empty: every event of the authority. */
  readonly clauses: readonly SearchClause[];
  /** No handshake has been accepted yet: one is sent before the first event. */
  readonly awaitsHandshake: boolean;
}

/** The Subscriptions in use by authority, held in memory and rebuilt from the store. */
export interface Subscriptions {
  /** Returns the Subscriptions of one authority that are in use, or are being verified (`requested`). */
  usable(authority: string): readonly UsableSubscription[];
  /**
   * Call after a commit that wrote or deleted a Subscription of the authority. Reads its Subscriptions again, notifies
   * the listeners, and begins to activate the requested ones, notifying the listeners after each. Resolves when all of
   * that is done. Calls made before the read starts share it. Store errors go to `onError`.
   */
  changed(authority: string): Promise<void>;
  /** Does the same for every authority. Call when the registry was reloaded. Returns those that are no longer in use. */
  reload(): Promise<readonly { readonly authority: string; readonly id: string }[]>;
  /** Sets the Subscription to `error`, because deliveries to it fail. `reason` is a short class. */
  failing(authority: string, id: string, reason: string): void;
  /** Sets the Subscription back to `active`, because a delivery was acknowledged. */
  recovered(authority: string, id: string): void;
  /** Adds a listener, called when the usable Subscriptions of an authority may have changed. */
  onChange(listener: (authority: string) => void): void;
  /** Returns every authority that has, or had, a Subscription. */
  authorities(): readonly string[];
  /** Sets how handshakes are sent. Until then requested topic-based Subscriptions wait. */
  handshakeBy(handshake: Handshake): void;
  /** Stops all work. Resolves when no write is in flight. */
  close(): Promise<void>;
}

/**
 * Sends the handshake of a topic-based Subscription. Resolves with undefined if it was accepted, otherwise with the
 * class of the failure. Never rejects.
 */
export type Handshake = (subscription: UsableSubscription) => Promise<string | undefined>;
