/**
 * The OAuth 2.0 token endpoint of SMART Backend Services, independent of the web framework. RFC 6749 sections 4.4 and
 * 5.
 */

import { randomUUID } from 'node:crypto';
import { SignJWT } from 'jose';
import type { Professional } from '../cpis/caller.ts';
import { defined } from '../fhir/defined.ts';
import { keyThumbprint } from '../registry/key-thumbprint.ts';
import type { Client, Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';
import { clientAssertionType } from './client-assertion.ts';
import { clientKeyClaim } from './derive-caller.ts';
import { formatIua, parseIua, placeProfessional } from './iua.ts';
import type { JsonRecord } from './jwt.ts';
import type { ServerUrls } from './server-urls.ts';
import type { SigningKey } from './signing-key.ts';
import { formatGrants, intersectScopes, parseScope, splitScopes } from './smart-scope.ts';
import { verifyClientAssertion } from './verify-client-assertion.ts';

export interface TokenRequestContext {
  readonly nowMs: number;
  readonly registry: Registry;
  readonly store: Pick<Store, 'useOnce'>;
  readonly signingKey: SigningKey;
  readonly urls: ServerUrls;
  /** Lifetime of an access token in seconds, maximum 300. */
  readonly lifetimeS: number;
  /** SHA-256 thumbprint of the client certificate of the connection. The token is bound to it (RFC 8705). */
  readonly certificate?: string | undefined;
}

export interface TokenResponse {
  readonly status: 200 | 400 | 401 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Readonly<Record<string, unknown>>;
  /** Why the request was refused, for the log. Never a value from the request. */
  readonly reason?: string;
  /** The registered client that the assertion names, for the log. */
  readonly clientId?: string | undefined;
}

type Authenticated = Extract<Awaited<ReturnType<typeof verifyClientAssertion>>, { readonly kind: 'verified' }>;

type OAuthError =
  | 'invalid_request'
  | 'invalid_client'
  | 'invalid_grant'
  | 'invalid_scope'
  | 'unsupported_grant_type'
  | 'temporarily_unavailable';

const headers = { 'Content-Type': 'application/json;charset=UTF-8', 'Cache-Control': 'no-store', Pragma: 'no-cache' };
const statusOf = { invalid_client: 401, temporarily_unavailable: 503 } as const;
const singleParameters = [
  'grant_type',
  'client_assertion_type',
  'client_assertion',
  'scope',
  'client_id',
  'client_secret',
];

/**
 * Responds to a token request. Never throws because of the request. Every failure to authenticate is the same 401. If
 * the store cannot record the `jti` the response is 503, without a token.
 */
export async function issueToken(form: URLSearchParams, context: TokenRequestContext): Promise<TokenResponse> {
  const repeated = singleParameters.find((name) => form.getAll(name).length > 1);
  if (repeated !== undefined) return refuse('invalid_request', `Send the parameter ${repeated} only once.`);
  const grantType = form.get('grant_type');
  if (grantType === null) return refuse('invalid_request', 'The parameter grant_type is required.');
  if (grantType !== 'client_credentials') {
    return refuse('unsupported_grant_type', 'The grant_type must be client_credentials.');
  }
  const assertion = form.get('client_assertion');
  if (assertion === null || form.get('client_assertion_type') !== clientAssertionType || form.has('client_secret')) {
    return refuse(
      'invalid_client',
      'Authenticate with private_key_jwt: send client_assertion and client_assertion_type.',
      'no-assertion',
    );
  }
  const requested = splitScopes(form.get('scope') ?? '');
  if (requested === undefined || requested.length === 0 || !requested.every((scope) => parseScope(scope))) {
    return refuse(
      'invalid_scope',
      'The parameter scope must hold SMART scopes at system level, such as system/Flag.rs.',
    );
  }
  const authenticated = await authenticate(assertion, context);
  if (authenticated.kind === 'refused') {
    const { reason, clientId } = authenticated;
    return reason === 'store'
      ? refuse(
          'temporarily_unavailable',
          'The server cannot issue a token at the moment. Try again after Retry-After, with a new assertion and another jti: this one may count as used.',
          reason,
        )
      : { ...refuse('invalid_client', 'The client could not be authenticated.', reason), clientId };
  }
  return { ...(await issueTo(authenticated, form, requested, context)), clientId: authenticated.client.clientId };
}

/** Issues a token to an authenticated client. */
async function issueTo(
  { client, claims, key }: Authenticated,
  form: URLSearchParams,
  requested: readonly string[],
  context: TokenRequestContext,
): Promise<TokenResponse> {
  const { certificate } = context;
  if (form.has('client_id') && form.get('client_id') !== client.clientId) {
    return refuse('invalid_client', 'The client could not be authenticated.', 'client-id');
  }
  if (client.certificateBoundTokens && certificate === undefined) {
    return refuse('invalid_request', 'This client must connect with its TLS client certificate.', 'certificate');
  }
  const professional = readProfessional(claims, client);
  if (typeof professional === 'string') return refuse('invalid_grant', professional, 'iua');
  const scope = formatGrants(intersectScopes(requested, client.scopes));
  if (scope === '') return refuse('invalid_scope', 'None of the requested scopes is registered for this client.');
  const bound = {
    [clientKeyClaim]: keyThumbprint(key),
    ...defined({ cnf: certificate && { 'x5t#S256': certificate } }),
  };
  const accessToken = await signAccessToken(client, scope, bound, professional, context);
  return {
    status: 200,
    headers,
    body: { access_token: accessToken, token_type: 'Bearer', expires_in: context.lifetimeS, scope },
  };
}

async function authenticate(assertion: string, { registry, store, urls, nowMs }: TokenRequestContext) {
  try {
    return await verifyClientAssertion(assertion, {
      registry,
      useOnce: (key, expiresAtMs, atMs) => store.useOnce(key, expiresAtMs, atMs),
      tokenUrl: urls.tokenUrl,
      nowMs,
    });
  } catch {
    return { kind: 'refused', reason: 'store', clientId: undefined } as const;
  }
}

/** Returns the professional under the registered name of the organisation, if any, or what is wrong with the claims. */
function readProfessional(claims: JsonRecord, client: Client): Professional | undefined | string {
  const professional = parseIua(claims);
  if (professional === 'absent') {
    return client.role === 'care-provider'
      ? 'The assertion of a care provider must name the professional in extensions.ihe_iua.'
      : undefined;
  }
  if (professional === 'invalid') {
    return 'The extensions.ihe_iua must hold subject_name, subject_role, subject_organization and subject_organization_id. A name needs a letter, and no characters that do not show.';
  }
  return (
    placeProfessional(professional, client.organisation) ??
    'The subject_organization_id and subject_organization must be the ODS code and the name of the organisation that the client is registered for.'
  );
}

/** Signs an access token (RFC 9068). */
function signAccessToken(
  client: Client,
  scope: string,
  bound: JsonRecord,
  professional: Professional | undefined,
  { nowMs, signingKey, urls, lifetimeS }: TokenRequestContext,
): Promise<string> {
  const now = Math.floor(nowMs / 1000);
  const claims: JsonRecord = {
    client_id: client.clientId,
    scope,
    ...bound,
    ...defined({ extensions: professional && { ihe_iua: formatIua(professional) } }),
  };
  return new SignJWT({ ...claims })
    .setProtectedHeader({ alg: 'ES256', kid: signingKey.kid, typ: 'at+jwt' })
    .setIssuer(urls.issuer)
    .setSubject(client.clientId)
    .setAudience(urls.baseUrl)
    .setIssuedAt(now)
    .setExpirationTime(now + lifetimeS)
    .setJti(randomUUID())
    .sign(signingKey.privateKey);
}

function refuse(error: OAuthError, description: string, reason: string = error): TokenResponse {
  return {
    status: error === 'invalid_client' || error === 'temporarily_unavailable' ? statusOf[error] : 400,
    headers: error === 'temporarily_unavailable' ? { ...headers, 'Retry-After': '5' } : headers,
    body: { error, error_description: description },
    reason,
  };
}
