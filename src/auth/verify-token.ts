/** Finds the caller of an `Authorization` header (RFC 6750). Verified tokens are cached until they expire. */
import type { Caller } from '../cpis/caller.ts';
import { type FhirFault, fault } from '../fhir/fault.ts';
import type { Registry } from '../registry/registry.ts';
import { buildIssuers, type IssuerOptions, type VerifiedToken, verifyAccessToken } from './access-token.ts';
import { deriveCaller } from './derive-caller.ts';
import type { SigningKey } from './signing-key.ts';
import { TokenCache } from './token-cache.ts';

interface TokenVerifierOptions extends IssuerOptions {
  readonly registry: () => Registry;
  readonly nowMs: () => number;
  /** Maximum number of cached tokens. Default 10,000. */
  readonly cacheSize?: number;
}

export interface TokenVerifier {
  /**
   * Verifies an `Authorization` header and returns the caller. Rejects with a fault `login`, or `transient` if the keys
   * of a trusted issuer cannot be loaded.
   */
  verify(authorization: string | undefined, certificate?: PresentedCertificate): Promise<Caller>;
  /** Returns the caller at once if this header was verified before and is still valid, else undefined. */
  peek(authorization: string | undefined, certificate?: PresentedCertificate): Caller | undefined;
}

/** Returns the SHA-256 thumbprint of the client certificate of the connection, if it has one. */
type PresentedCertificate = () => string | undefined;

interface CacheEntry {
  /** The complete header, because the key of the cache is only its end. */
  readonly authorization: string;
  readonly token: VerifiedToken;
  readonly caller: Caller;
  readonly revision: number;
  /** The keys in force when it was verified. */
  readonly keys: SigningKey;
}

const bearer = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i;

export function buildTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { registry, signingKey, nowMs } = options;
  const issuers = buildIssuers(options);
  const cache = new TokenCache<CacheEntry>(options.cacheSize ?? 10_000);

  function peek(authorization: string | undefined, certificate?: PresentedCertificate): Caller | undefined {
    if (authorization === undefined) return undefined;
    const key = signatureOf(authorization);
    const entry = cache.get(key);
    if (entry === undefined || entry.authorization !== authorization) return undefined;
    const keys = signingKey();
    if (entry.token.expiresAtMs <= nowMs() || entry.keys !== keys) {
      cache.delete(key);
      return undefined;
    }
    if (entry.token.certificate !== undefined && entry.token.certificate !== certificate?.()) return undefined;
    const snapshot = registry();
    if (entry.revision === snapshot.revision) return entry.caller;
    const caller = deriveCaller(entry.token, snapshot);
    cache.delete(key);
    if (typeof caller === 'string') return undefined;
    cache.set(key, { authorization, token: entry.token, caller, revision: snapshot.revision, keys });
    return caller;
  }

  async function verify(authorization: string | undefined, certificate?: PresentedCertificate): Promise<Caller> {
    const known = peek(authorization, certificate);
    if (known !== undefined) return known;
    if (authorization === undefined || !/^bearer /i.test(authorization)) throw loginRequired();
    const [, text] = bearer.exec(authorization) ?? [];
    const keys = signingKey();
    const token = text === undefined ? 'malformed' : await verifyAccessToken(text, issuers, nowMs());
    if (typeof token === 'string') throw invalidToken(token);
    if (token.certificate !== undefined && token.certificate !== certificate?.()) throw invalidToken('certificate');
    const snapshot = registry();
    const caller = deriveCaller(token, snapshot);
    if (typeof caller === 'string') throw invalidToken(caller);
    cache.set(signatureOf(authorization), { authorization, token, caller, revision: snapshot.revision, keys });
    return caller;
  }

  return { verify, peek };
}

/** Returns the cache key: the signature differs for each token and is much shorter to hash than the whole header. */
function signatureOf(authorization: string): string {
  return authorization.slice(authorization.lastIndexOf('.') + 1);
}

function loginRequired(): FhirFault {
  return fault('login', 'A bearer access token is required.', {
    detail: 'no-token',
  });
}

function invalidToken(detail: string): FhirFault {
  const description = 'The access token is malformed, expired or not valid here.';
  return fault('login', description, {
    isTokenInvalid: true,
    detail,
  });
}
