import type { Logger } from 'pino';
import { buildServerUrls, type ServerUrls } from '../auth/server-urls.ts';
import { findSigningKey, openSigningKey, type SigningKey } from '../auth/signing-key.ts';
import { buildTokenVerifier, type TokenVerifier } from '../auth/verify-token.ts';
import { requirePrivate, UnusableFileError } from '../files/exposure.ts';
import { type NotificationKeys, openNotificationKeys } from '../notification/outbound-http/notification-keys.ts';
import { openRegistry, type RegistryHolder } from '../registry/open-registry.ts';
import { type Settings, SettingsError } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { checkSealedHeaders } from './check-sealed-headers.ts';

/** Who may call, and the keys that this server signs with. */
export interface Identity {
  readonly registry: RegistryHolder;
  /** Returns the keys in force. Call it at each use, because a reload replaces them. */
  readonly signingKey: () => SigningKey;
  readonly notificationKeys: NotificationKeys;
  readonly urls: ServerUrls;
  readonly verifier: TokenVerifier;
  /**
   * Reads the signing keys again, after `cpis keys` has changed them. Returns the problems of the file; if there are any, the
   * keys in force stay. Reloads run one after another.
   */
  reloadSigningKeys(): Promise<readonly string[]>;
}

/** An identity as the files have it. The signing key is undefined if its file does not exist. */
export interface FoundIdentity extends Pick<Identity, 'registry' | 'notificationKeys' | 'urls'> {
  readonly signingKey: SigningKey | undefined;
}

/**
 * Reads the registry and the key files. Throws RegistryError, SettingsError, ExposedFileError, or Error if a key file cannot
 * be used.
 */
export async function readIdentity(settings: Settings, baseUrl: string, nowMs: () => number): Promise<FoundIdentity> {
  requirePrivate(settings.dataFolder);
  const registry = openRegistry(settings.registryFile, { nowMs, allowLoopback: settings.allowLoopbackEndpoints });
  const signingKey = await findSigningKey(settings.signingKeyFile);
  const notificationKeys = await openNotificationKeys(settings.notificationKeysFile);
  const urls = buildServerUrls(baseUrl, settings.basePath);
  if (settings.trustedIssuers.some(({ issuer }) => issuer === urls.issuer)) {
    throw new SettingsError([`CPIS_TRUSTED_ISSUERS: ${urls.issuer} is this server itself; remove it`]);
  }
  return { registry, signingKey, notificationKeys, urls };
}

/**
 * Completes the identity once the store is open. Makes a signing key only if nothing in the store is sealed with one. Throws
 * SettingsError if the key of something that is sealed is missing.
 */
export async function completeIdentity(
  found: FoundIdentity,
  settings: Settings,
  store: Pick<Store, 'search'>,
  logger: Logger,
): Promise<Identity> {
  await checkSealedHeaders(store, found.signingKey, settings, logger);
  let keys = found.signingKey ?? (await openSigningKey(settings.signingKeyFile));
  const signingKey = (): SigningKey => keys;
  const verifier = buildTokenVerifier({
    signingKey,
    urls: found.urls,
    trustedIssuers: settings.trustedIssuers,
    registry: () => found.registry.current,
    nowMs: Date.now,
  });
  async function reloadSigningKeys(): Promise<readonly string[]> {
    try {
      const next = await readNextKeys(settings.signingKeyFile, keys);
      // Tokens that were verified with the same keys stay verified.
      if (kidsOf(next) === kidsOf(keys)) return [];
      await checkSealedHeaders(store, next, settings, logger);
      keys = next;
      return [];
    } catch (error) {
      if (error instanceof SettingsError) return error.problems;
      if (error instanceof UnusableFileError) return [error.message];
      throw error;
    }
  }
  let last: Promise<unknown> = Promise.resolve();
  return {
    ...found,
    signingKey,
    verifier,
    reloadSigningKeys() {
      const next = last.catch(() => undefined).then(reloadSigningKeys);
      last = next;
      return next;
    },
  };
}

/** Names the keys in their order. */
function kidsOf(keys: SigningKey): string {
  return [keys, ...keys.older].map(({ kid }) => kid).join();
}

/** Reads the keys of the file. Rejects with SettingsError if it lacks the key that signs and seals now. */
async function readNextKeys(file: string, { kid }: SigningKey): Promise<SigningKey> {
  const next = await findSigningKey(file);
  if (next === undefined) throw new SettingsError([`CPIS_SIGNING_KEY_FILE: the file ${file} does not exist`]);
  if (![next, ...next.older].some((each) => each.kid === kid)) {
    throw new SettingsError([
      `CPIS_SIGNING_KEY_FILE: ${file} lacks the key ${kid}, with which this server signs and seals. Let it take the new key first (SIGHUP), then drop the old one (docs/keys.md)`,
    ]);
  }
  return next;
}
