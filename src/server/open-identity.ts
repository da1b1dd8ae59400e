import { buildServerUrls, type ServerUrls } from '../auth/server-urls.ts';
import { openSigningKey, type SigningKey } from '../auth/signing-key.ts';
import { buildTokenVerifier, type TokenVerifier } from '../auth/verify-token.ts';
import { requirePrivate } from '../files/exposure.ts';
import { type NotificationKeys, openNotificationKeys } from '../notification/outbound-http/notification-keys.ts';
import { openRegistry, type RegistryHolder } from '../registry/open-registry.ts';
import { type Settings, SettingsError } from '../settings/settings.ts';

/** Who may call, and the keys that this server signs with. */
export interface Identity {
  readonly registry: RegistryHolder;
  readonly signingKey: SigningKey;
  readonly notificationKeys: NotificationKeys;
  readonly urls: ServerUrls;
  readonly verifier: TokenVerifier;
}

/**
 * Reads the registry and the key files. Throws RegistryError, SettingsError, ExposedFileError,
 * or Error if a key file cannot be used.
 */
export async function openIdentity(settings: Settings, baseUrl: string, nowMs: () => number): Promise<Identity> {
  requirePrivate(settings.dataFolder);
  const registry = openRegistry(settings.registryFile, { nowMs, allowLoopback: settings.allowLoopbackEndpoints });
  const signingKey = await openSigningKey(settings.signingKeyFile);
  const notificationKeys = await openNotificationKeys(settings.notificationKeysFile);
  const urls = buildServerUrls(baseUrl, settings.basePath);
  if (settings.trustedIssuers.some(({ issuer }) => issuer === urls.issuer)) {
    throw new SettingsError([`CPIS_TRUSTED_ISSUERS: ${urls.issuer} is this server itself; remove it`]);
  }
  const verifier = buildTokenVerifier({
    signingKey,
    urls,
    trustedIssuers: settings.trustedIssuers,
    registry: () => registry.current,
    nowMs: Date.now,
  });
  return { registry, signingKey, notificationKeys, urls, verifier };
}
