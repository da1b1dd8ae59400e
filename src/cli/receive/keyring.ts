import type { KeyObject } from 'node:crypto';
import {
  type NotificationHeaders,
  type Verification,
  type VerificationKeys,
  verifyNotification,
} from '../../notification/outbound-http/verify-notification.ts';

/** Verifies notifications by the keys of now. Rejects when the keys cannot be had: then nothing can be said. */
export type VerifyArrived = (headers: NotificationHeaders, body: Uint8Array) => Promise<Verification>;

interface KeyringOptions {
  /** Gets the server's public keys; undefined: there are secrets only. */
  readonly loadPublicKeys: (() => Promise<readonly KeyObject[]>) | undefined;
  readonly secrets: VerificationKeys['secrets'];
  readonly now: () => number;
}

/** Keys that changed are looked for when nothing fits, but not more often than this. */
const reloadGapMs = 30_000;

/** Loads the public keys when they are first needed, and again when a signature fits none of them: the server changes its keys. */
export function openKeyring({ loadPublicKeys, secrets, now }: KeyringOptions): VerifyArrived {
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
    const verify = () => verifyNotification(headers, body, { publicKeys: publicKeys ?? [], secrets }, now());
    const result = verify();
    if (result.kind === 'valid' || loadPublicKeys === undefined || now() - reloadedMs < reloadGapMs) return result;
    reloadedMs = now();
    // Nobody is refused because the keys cannot be looked up just now: what was refused is sent again.
    await load();
    return verify();
  };
}
