import type { Logger } from 'pino';
import { buildServerUrls, type ServerUrls } from '../auth/server-urls.ts';
import { findSigningKey, openSigningKey, type SigningKey } from '../auth/signing-key.ts';
import { buildTokenVerifier, type TokenVerifier } from '../auth/verify-token.ts';
import { requirePrivate } from '../files/exposure.ts';
import { type NotificationKeys, openNotificationKeys } from '../notification/outbound-http/notification-keys.ts';
import { openRegistry, type RegistryHolder } from '../registry/open-registry.ts';
import { type Settings, SettingsError } from '../settings/settings.ts';
import type { Store } from '../store/store.ts';
import { checkSealedHeaders } from './check-sealed-headers.ts';

/** Who may call, and the keys that this server signs with. */
export interface Identity {
  readonly registry: RegistryHolder;
  readonly signingKey: SigningKey;
  readonly notificationKeys: NotificationKeys;
  readonly urls: ServerUrls;
  readonly verifier: TokenVerifier;
}

/** An identity as the files have it. The signing key is undefined if its file does not exist. */
export type FoundIdentity = Omit<Identity, 'signingKey' | 'verifier'> & { readonly signingKey: SigningKey | undefined };

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
  const signingKey = found.signingKey ?? (await openSigningKey(settings.signingKeyFile));
  const verifier = buildTokenVerifier({
    signingKey,
    urls: found.urls,
    trustedIssuers: settings.trustedIssuers,
    registry: () => found.registry.current,
    nowMs: Date.now,
  });
  return { ...found, signingKey, verifier };
}
