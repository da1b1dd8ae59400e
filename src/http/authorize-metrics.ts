import { timingSafeEqual } from 'node:crypto';
import type { Caller } from '../cpis/caller.ts';

type PresentedCertificate = () => string | undefined;

/**
 * Builds the check of the `Authorization` header of `/metrics`: the configured token, or the access token of an operator.
 * The check rejects with a `login` fault if the header is neither, and resolves to false for any other role.
 */
export function buildMetricsAuthorization(
  token: string | undefined,
  verify: (authorization: string | undefined, certificate: PresentedCertificate) => Promise<Caller>,
): (authorization: string | undefined, certificate: PresentedCertificate) => Promise<boolean> {
  const expected = token === undefined ? undefined : Buffer.from(`Bearer ${token}`);
  return async (authorization, certificate) => {
    const given = Buffer.from(authorization ?? '');
    if (expected !== undefined && given.length === expected.length && timingSafeEqual(given, expected)) return true;
    return (await verify(authorization, certificate)).role === 'operator';
  };
}
