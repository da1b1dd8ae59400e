import type { StoredResource } from '../../store/store.ts';
import type { UsableSubscription } from './usable-subscription.ts';

/** A Subscription in use, as it is stored. */
export interface Entry {
  readonly stored: StoredResource;
  readonly endMs: number | undefined;
  readonly usable: UsableSubscription;
}

/** `superseded`: somebody else has written it meanwhile. */
export type Reconciled = Entry | 'unused' | 'superseded';
