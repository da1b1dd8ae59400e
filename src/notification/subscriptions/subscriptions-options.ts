import type { Clock } from '../../clock/clock.ts';
import type { Store, StoredResource } from '../../store/store.ts';
import type { ResolveHost } from '../outbound-http/address-guard.ts';
import type { SealKeys } from './channel-secrets.ts';
import type { ParseSearch } from './criteria.ts';
import type { VersionWriter } from './subscription-version.ts';

/** What the Subscriptions in use depend on. */
export interface SubscriptionsOptions extends VersionWriter {
  readonly store: Pick<Store, 'search' | 'commit'>;
  readonly parseSearch: ParseSearch;
  readonly resolve: ResolveHost;
  readonly clock: Clock;
  readonly allowLoopback: boolean;
  /**
   * Returns the registered endpoint origins of the client that the labels name; none if it is not registered any more.
   */
  readonly originsOf: (labels: readonly string[]) => readonly string[];
  /** Whether that client may be notified. */
  readonly mayNotify: (labels: readonly string[]) => boolean;
  /** Returns the method by which AuditEvents are sent to that client. */
  readonly methodOf: (labels: readonly string[]) => 'PUT' | 'POST';
  /** Returns the HMAC secrets that sign notifications to that client. */
  readonly secretsOf: (labels: readonly string[]) => readonly Uint8Array[];
  /** The keys with which `protectSubscription` seals the headers. What an older one sealed is sealed again. */
  readonly secretsKeys: () => SealKeys;
  /** Called when another server uses a Subscription that this one refuses, because their registries differ. */
  readonly onContested?: (stored: StoredResource) => void;
  readonly onError: (error: unknown) => void;
}
