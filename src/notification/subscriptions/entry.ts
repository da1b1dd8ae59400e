import type { StoredResource } from '../../store/store.ts';
import type { UsableSubscription } from './usable-subscription.ts';

/** A Subscription in use, with its stored version. */
export interface Entry {
  readonly stored: StoredResource;
  readonly endMs: number | undefined;
  readonly usable: UsableSubscription;
}

/** The result of a reconciliation. `superseded`: somebody else has written the Subscription meanwhile. */
export type Reconciled = Entry | 'unused' | 'superseded';
