import type { Logger } from 'pino';
import type { SigningKey } from '../auth/signing-key.ts';
import { canReveal } from '../notification/subscriptions/channel-secrets.ts';
import { findSubscriptions } from '../notification/subscriptions/find-subscriptions.ts';
import { type Settings, SettingsError } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';

/**
 * Throws SettingsError if the headers of a Subscription are sealed with a key that the server does not have: its authority
 * would no longer be notified. With the setting that allows it, logs a warning instead. `key` is undefined if the key file
 * does not exist.
 */
export async function checkSealedHeaders(
  store: Pick<Store, 'search'>,
  key: SigningKey | undefined,
  settings: Pick<Settings, 'signingKeyFile' | 'startWithoutSealingKey'>,
  logger: Logger,
): Promise<void> {
  const keys = key === undefined ? [] : sealKeysOf(key);
  const sealed = (await findSubscriptions(store, [])).filter(({ body }) => !canReveal(JSON.parse(body), keys));
  if (sealed.length === 0) return;
  if (settings.startWithoutSealingKey) {
    logger.warn(
      { subscriptions: sealed.map(({ id }) => id) },
      'the headers of these Subscriptions cannot be opened: their authorities must send them again',
    );
    return;
  }
  const { signingKeyFile: file } = settings;
  const what = key === undefined ? `the file ${file} does not exist, but` : `none of the keys in ${file} opens what`;
  const headers = `the headers of ${sealed.length} ${sealed.length === 1 ? 'Subscription' : 'Subscriptions'}`;
  const sealing = key === undefined ? `${headers} are sealed with its key` : `${headers} are sealed with`;
  throw new SettingsError([
    `CPIS_SIGNING_KEY_FILE: ${what} ${sealing}. Restore the key file that belongs to the backup of the store (docs/keys.md). If it is lost for good, set CPIS_DANGEROUSLY_START_WITHOUT_SEALING_KEY`,
  ]);
}

/** Returns the keys of stored headers: the first seals, and all of them open. */
export function sealKeysOf({ sealKey, older }: SigningKey): readonly Uint8Array[] {
  return [sealKey, ...older.map((each) => each.sealKey)];
}
