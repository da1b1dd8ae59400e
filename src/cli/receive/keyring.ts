import type { KeyObject } from 'node:crypto';
import {
  type NotificationHeaders,
  type Verification,
  type VerificationKeys,
  verifyNotification,
} from '../../notification/outbound-http/verify-notification.ts';

/** Verifies a notification with the current keys. Rejects if the keys cannot be loaded. */
export type VerifyNotification = (headers: NotificationHeaders, body: Uint8Array) => Promise<Verification>;

interface KeyringOptions {
  /** Loads the server's public keys; undefined if only secrets are used. */
  readonly loadPublicKeys: (() => Promise<readonly KeyObject[]>) | undefined;
  readonly secrets: VerificationKeys['secrets'];
  /** The receiver's own Organization.id; undefined accepts a notification to any. */
  readonly recipient: string | undefined;
  readonly now: () => number;
}

/** Minimum time between two reloads after a failed verification. */
const reloadGapMs = 30_000;

/**
 * Loads the public keys when first needed, and reloads them when no key verifies a signature, because the server
 * rotates its keys.
 */
export function openKeyring({ loadPublicKeys, secrets, recipient, now }: KeyringOptions): VerifyNotification {
  let publicKeys: readonly KeyObject[] | undefined = loadPublicKeys === undefined ? [] : undefined;
  let reloadedMs = Number.NEGATIVE_INFINITY;
  let loading: Promise<void> | undefined;

  function load(): Promise<void> {
    loading ??= (async () => {
      try {
        publicKeys = await loadPublicKeys?.();
      } finally {
        loading = undefined;
      }
    })();
    return loading;
  }

  return async (headers, body) => {
    if (publicKeys === undefined) await load();
    const verify = () => verifyNotification(headers, body, { publicKeys: publicKeys ?? [], secrets, recipient }, now());
    const result = verify();
    if (result.kind === 'valid' || loadPublicKeys === undefined || now() - reloadedMs < reloadGapMs) return result;
    reloadedMs = now();
    // Rejects if the reload fails, so that the notification gets a 503 and the server sends it again.
    await load();
    return verify();
  };
}
