import type { Logger } from 'pino';
import type { Subscriptions } from '../notification/subscriptions/usable-subscription.ts';
import type { Store } from '../store/store.ts';

interface ReloadOptions {
  readonly subscriptions: Pick<Subscriptions, 'reload'>;
  readonly store: Pick<Store, 'read'>;
  readonly logger: Pick<Logger, 'warn' | 'error'>;
}

/** Takes the registry that is in force now for all Subscriptions, and logs each that is no longer used, with its reason. */
export async function reloadSubscriptions({ subscriptions, store, logger }: ReloadOptions): Promise<void> {
  try {
    for (const { authority, id } of await subscriptions.reload()) {
      const found = await store.read('Subscription', id);
      const { error }: { error?: string } = found.kind === 'found' ? JSON.parse(found.resource.body) : {};
      logger.warn(
        { event: 'subscription-out-of-use', authority, subscription: id, reason: error ?? found.kind },
        'the registry no longer allows a Subscription: its authority is not notified by it',
      );
    }
  } catch (error) {
    logger.error(
      { err: error },
      'the Subscriptions could not be checked against the new registry; they are checked again',
    );
  }
}
