/** Verifies access tokens that are JWTs (RFC 9068), our own and those of trusted issuers. */

import { createHash } from 'node:crypto';
import {
  type CryptoKey,
  compactVerify,
  createRemoteJWKSet,
  customFetch,
  errors,
  type FetchImplementation,
  type JWSHeaderParameters,
} from 'jose';
import { type FhirFault, fault } from '../fhir/fault.ts';
import { checkTimes, isRecord, type JsonRecord, type ParsedJwt, parseJwt } from './jwt.ts';
import type { ServerUrls } from './server-urls.ts';
import type { SigningKey } from './signing-key.ts';

/** Another authorization server whose access tokens are accepted, from CPIS_TRUSTED_ISSUERS. */
export interface TrustedIssuer {
  readonly issuer: string;
  readonly jwksUrl: string;
  readonly algorithms: readonly string[];
  readonly audience: string;
  /** Accepted values of `typ`. Default: `at+jwt` (RFC 9068) only, so that an ID token is no access token. */
  readonly tokenTypes?: readonly string[];
}

export interface IssuerOptions {
  /** Returns the keys in force, the same object until they are replaced. */
  readonly signingKey: () => SigningKey;
  readonly urls: ServerUrls;
  readonly trustedIssuers: readonly TrustedIssuer[];
  /** Fetches the JWK Sets of trusted issuers. Default: the global fetch. */
  readonly fetch?: FetchImplementation;
}

/** The content of a verified access token, not yet checked against the registry. */
export interface VerifiedToken {
  readonly issuer: string;
  /** True if this server issued it. */
  readonly isOwn: boolean;
  /** `jti`, or the SHA-256 of the token if a trusted issuer sets none. */
  readonly tokenId: string;
  readonly clientId: string;
  readonly claims: JsonRecord;
  readonly expiresAtMs: number;
  /** SHA-256 thumbprint of the client certificate that the token is bound to (RFC 8705). */
  readonly certificate?: string;
}

interface Issuer {
  readonly isOwn: boolean;
  readonly algorithms: readonly string[];
  readonly audience: string;
  /** Allowed values of `typ`. */
  readonly types: readonly string[];
  readonly maxAheadS: number;
  readonly getKey: (header: JWSHeaderParameters) => Promise<CryptoKey>;
}

/** Visible ASCII, because the `jti` is recorded as a URI in each AuditEvent. */
const tokenIdForm = /^[!-~]{1,128}$/;
const futureLeewayS = 10;
const ownMaxLifetimeS = 300 + futureLeewayS;
const trustedMaxLifetimeS = 3600;

/** Maps `iss` to the rules for its tokens. A trusted issuer cannot replace this server's own entry. */
export function buildIssuers({ signingKey, urls, trustedIssuers, fetch }: IssuerOptions): ReadonlyMap<string, Issuer> {
  const issuers = new Map<string, Issuer>();
  for (const { issuer, jwksUrl, algorithms, audience, tokenTypes = ['at+jwt'] } of trustedIssuers) {
    const getKey = createRemoteJWKSet(new URL(jwksUrl), fetch && { [customFetch]: fetch });
    const types = tokenTypes.map((type) => type.toLowerCase());
    issuers.set(issuer, { isOwn: false, algorithms, audience, types, maxAheadS: trustedMaxLifetimeS, getKey });
  }
  issuers.set(urls.issuer, {
    isOwn: true,
    algorithms: ['ES256'],
    audience: urls.baseUrl,
    types: ['at+jwt'],
    maxAheadS: ownMaxLifetimeS,
    getKey: async ({ kid }) => {
      const key = [signingKey(), ...signingKey().older].find((each) => each.kid === kid);
      if (key === undefined) throw new errors.JWKSNoMatchingKey();
      return key.publicKey;
    },
  });
  return issuers;
}

/**
 * Verifies a token at `nowMs`. Returns its content, or a short reason for the log if it is not valid. Rejects with a
 * fault `transient` if the issuer's keys cannot be loaded.
 */
export async function verifyAccessToken(
  text: string,
  issuers: ReadonlyMap<string, Issuer>,
  nowMs: number,
): Promise<VerifiedToken | string> {
  const jwt = parseJwt(text);
  if (jwt === undefined) return 'malformed';
  const { iss, jti, iat } = jwt.claims;
  const issuer = typeof iss === 'string' ? issuers.get(iss) : undefined;
  if (typeof iss !== 'string' || issuer === undefined) return 'issuer';
  if (!issuer.algorithms.includes(jwt.header.alg)) return 'alg';
  if (!issuer.types.includes(typeOf(jwt))) return 'typ';
  if (!hasAudience(jwt.claims, issuer.audience)) return 'aud';
  const expS = checkTimes(jwt.claims, { nowMs, expiredLeewayS: 0, futureLeewayS, maxAheadS: issuer.maxAheadS });
  if (expS === undefined || iat === undefined) return 'time';
  const certificate = certificateOf(jwt.claims);
  if (certificate === 'unknown') return 'cnf';
  const clientId = clientIdOf(jwt.claims);
  if (clientId === undefined) return 'client';
  if (jti !== undefined && (typeof jti !== 'string' || !tokenIdForm.test(jti))) return 'jti';
  const key = await findKey(issuer, jwt);
  if (key === undefined || !(await isSignedBy(key, text, issuer))) return 'signature';
  const { isOwn } = issuer;
  const tokenId = jti ?? hashOf(text);
  return {
    ...{ issuer: iss, isOwn, tokenId, clientId, claims: jwt.claims, expiresAtMs: expS * 1000 },
    ...(certificate === 'none' ? {} : { certificate: certificate.thumbprint }),
  };
}

/**
 * Reads `cnf`, which binds a token to a key. Returns `unknown` for any binding but `x5t#S256` alone, because this server
 * cannot check the others (RFC 9449, for example).
 */
function certificateOf({ cnf }: JsonRecord): { readonly thumbprint: string } | 'none' | 'unknown' {
  if (cnf === undefined) return 'none';
  if (!isRecord(cnf) || Object.keys(cnf).length !== 1) return 'unknown';
  const thumbprint = cnf['x5t#S256'];
  return typeof thumbprint === 'string' && /^[A-Za-z0-9_-]{43}$/.test(thumbprint) ? { thumbprint } : 'unknown';
}

function typeOf({ header }: ParsedJwt): string {
  return header.typ.toLowerCase().replace(/^application\//, '');
}

function hasAudience({ aud }: JsonRecord, audience: string): boolean {
  return aud === audience || (Array.isArray(aud) && aud.includes(audience));
}

/** Returns `client_id` (RFC 9068) or `azp` (OpenID Connect). If a token has both, they must be equal. */
function clientIdOf({ client_id: clientId, azp }: JsonRecord): string | undefined {
  if (clientId !== undefined && azp !== undefined && clientId !== azp) return undefined;
  const id = clientId ?? azp;
  return typeof id === 'string' ? id : undefined;
}

function hashOf(token: string): string {
  return createHash('sha256').update(token).digest('base64url');
}

async function findKey(issuer: Issuer, { header }: ParsedJwt): Promise<CryptoKey | undefined> {
  try {
    return await issuer.getKey({ alg: header.alg, kid: header.kid });
  } catch (error) {
    if (error instanceof errors.JWKSNoMatchingKey || error instanceof errors.JWKSMultipleMatchingKeys) return undefined;
    throw keySourceFailed(error);
  }
}

async function isSignedBy(key: CryptoKey, text: string, { algorithms }: Issuer): Promise<boolean> {
  try {
    await compactVerify(text, key, { algorithms: [...algorithms] });
    return true;
  } catch {
    return false;
  }
}

function keySourceFailed(cause: unknown): FhirFault {
  return fault('transient', "The keys of the token's issuer cannot be loaded at the moment. Try again later.", {
    retryAfterS: 30,
    detail: 'issuer-keys',
    cause,
  });
}
