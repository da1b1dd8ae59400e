import type { Caller } from '../cpis/caller.ts';
import type { Registry } from '../registry/registry.ts';
import type { VerifiedToken } from './access-token.ts';
import { parseIua } from './iua.ts';
import { intersectScopes, splitScopes } from './smart-scope.ts';

/**
 * Derives the caller from a token and a registry snapshot. Returns a reason for the log if the client is not
 * registered, or the professional is missing, malformed or of another organisation.
 */
export function deriveCaller(token: VerifiedToken, registry: Registry): Caller | 'unknown-client' | 'professional' {
  const client = registry.clients.get(token.clientId);
  if (client === undefined) return 'unknown-client';
  const professional = parseIua(token.claims);
  if (professional === 'invalid') return 'professional';
  if (professional === 'absent' && client.role === 'care-provider') return 'professional';
  if (professional !== 'absent' && professional.organisationId !== client.organisation.odsCode) return 'professional';
  const scope = token.claims['scope'];
  const scopes = typeof scope === 'string' ? splitScopes(scope) : undefined;
  return {
    clientId: client.clientId,
    role: client.role,
    organisation: client.organisation,
    grants: intersectScopes(scopes ?? [], client.scopes),
    ...(professional === 'absent' ? {} : { professional }),
    tokenId: token.tokenId,
    issuer: token.issuer,
    silentReads: client.silentReads,
    subscriptionOrigins: client.subscriptionOrigins,
  };
}
