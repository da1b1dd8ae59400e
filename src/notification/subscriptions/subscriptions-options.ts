import type { Clock } from '../../clock/clock.ts';
import type { Store, StoredResource } from '../../store/store.ts';
import type { ResolveHost } from '../outbound-http/address-guard.ts';
import type { ParseSearch } from './criteria.ts';
import type { VersionWriter } from './subscription-version.ts';

/** What Subscriptions in use depend on. */
export interface SubscriptionsOptions extends VersionWriter {
  readonly store: Pick<Store, 'search' | 'commit'>;
  readonly parseSearch: ParseSearch;
  readonly resolve: ResolveHost;
  readonly clock: Clock;
  readonly allowLoopback: boolean;
  /** The registered endpoint origins of the client that the labels name; none when it is not registered any more. */
  readonly originsOf: (labels: readonly string[]) => readonly string[];
  /** Whether that client may be notified at all. */
  readonly mayNotify: (labels: readonly string[]) => boolean;
  /** How that client wants to be sent AuditEvents. */
  readonly methodOf: (labels: readonly string[]) => 'PUT' | 'POST';
  /** The HMAC secrets that notifications to that client are signed with. */
  readonly secretsOf: (labels: readonly string[]) => readonly Uint8Array[];
  /** The key that `protectSubscription` sealed the headers with. */
  readonly secretsKey: Uint8Array;
  /** Another server uses a Subscription that this one refuses: their registries differ. */
  readonly onContested?: (stored: StoredResource) => void;
  readonly onError: (error: unknown) => void;
}
