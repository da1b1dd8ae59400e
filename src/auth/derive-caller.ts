import type { Caller, Credential } from '../cpis/caller.ts';
import { defined } from '../fhir/defined.ts';
import { keyThumbprint } from '../registry/key-thumbprint.ts';
import type { Client, Registry } from '../registry/registry.ts';
import type { VerifiedToken } from './access-token.ts';
import { parseIua, placeProfessional } from './iua.ts';
import { intersectScopes, splitScopes } from './smart-scope.ts';

/** Why a valid token makes nobody a caller, for the log. */
export type CallerProblem =
  | 'unknown-client'
  | 'issuer-of-client'
  | 'subject'
  | 'client-key'
  | 'certificate'
  | 'professional';

/** The claim of our own tokens with the thumbprint of the key that signed the client's assertion. */
export const clientKeyClaim = 'client_key';

/**
 * Derives the caller from a token and a registry snapshot. Who the caller is, its role and its organisation come from the
 * registry alone. Returns a reason for the log if the registry does not know the client, does not let the token's issuer
 * speak for it, or no longer has the key that the token was requested with; or if the professional is missing, malformed
 * or of another organisation.
 */
export function deriveCaller(token: VerifiedToken, registry: Registry): Caller | CallerProblem {
  const client = registry.clients.get(token.clientId);
  if (client === undefined) return 'unknown-client';
  const problem = checkIssuer(token, client, registry);
  if (problem !== undefined) return problem;
  const claimed = parseIua(token.claims);
  if (claimed === 'invalid') return 'professional';
  if (claimed === 'absent' && client.role === 'care-provider') return 'professional';
  // Our own token names the organisation as the registry did when it was issued.
  const own = token.isOwn ? { organisationName: client.organisation.name } : {};
  const professional =
    claimed === 'absent' ? undefined : placeProfessional({ ...claimed, ...own }, client.organisation);
  if (claimed !== 'absent' && professional === undefined) return 'professional';
  const scope = token.claims['scope'];
  const scopes = typeof scope === 'string' ? splitScopes(scope) : undefined;
  return {
    clientId: client.clientId,
    role: client.role,
    organisation: client.organisation,
    grants: intersectScopes(scopes ?? [], client.scopes),
    ...(professional === undefined ? {} : { professional }),
    tokenId: token.tokenId,
    issuer: token.issuer,
    credential: credentialOf(token),
    silentReads: client.silentReads,
    subscriptionOrigins: client.subscriptionOrigins,
  };
}

/** Returns why the issuer of the token cannot speak for the client, if it cannot. */
function checkIssuer(token: VerifiedToken, client: Client, registry: Registry): CallerProblem | undefined {
  const { sub } = token.claims;
  // A subject that is another client would make it unclear who the token speaks for (RFC 9068 section 5).
  const isOthers = typeof sub === 'string' && sub !== client.clientId && registry.clients.has(sub);
  return checkCredential(credentialOf(token), client) ?? (isOthers ? 'subject' : undefined);
}

function credentialOf({ isOwn, issuer, certificate, claims }: VerifiedToken): Credential {
  const key = claims[clientKeyClaim];
  return defined({
    key: isOwn && key !== undefined ? String(key) : undefined,
    issuer: isOwn ? undefined : issuer,
    certificate,
  });
}

/** Returns why the registry entry of a client no longer allows what a token depends on; undefined if it does. */
export function checkCredential(
  { key, issuer, certificate }: Credential,
  client: Client,
): 'issuer-of-client' | 'client-key' | 'certificate' | undefined {
  if (issuer !== undefined && !client.issuers.includes(issuer)) return 'issuer-of-client';
  if (key !== undefined && !client.jwks.keys.some((each) => keyThumbprint(each) === key)) return 'client-key';
  return client.certificateBoundTokens && certificate === undefined ? 'certificate' : undefined;
}
