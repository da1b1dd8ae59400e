import { createHash } from 'node:crypto';
import { type CryptoKey, compactVerify, importJWK } from 'jose';
import { clientAlgorithms } from '../registry/check-public-key.ts';
import type { Client, JsonWebKeyRecord, Registry } from '../registry/registry.ts';
import type { Store } from '../store/store.ts';
import { checkTimes, type JsonRecord, type ParsedJwt, parseJwt } from './jwt.ts';

interface AssertionRule {
  readonly registry: Registry;
  readonly useOnce: Store['useOnce'];
  /** The only accepted `aud`. */
  readonly tokenUrl: string;
  readonly nowMs: number;
}

/** `reason` is for the log only. The response is the same for every reason. */
type AssertionResult =
  | {
      readonly kind: 'verified';
      readonly client: Client;
      readonly claims: JsonRecord;
      readonly key: JsonWebKeyRecord;
    }
  /** `clientId` is that of a registered client. */
  | { readonly kind: 'refused'; readonly reason: string; readonly clientId: string | undefined };

/** Maximum difference between the clocks of client and server. */
const leewayS = 10;
const maxAheadS = 300;
/**
 * Public keys whose private halves nobody has. An assertion of an unknown client, or with an unknown key, is verified by
 * the one of its algorithm, so that the time of the refusal does not tell whether the client is registered.
 */
const rsaOfNobody = {
  kty: 'RSA',
  e: 'AQAB',
  n: '8VAtXpLOOrD7dLp0X8Hbt7rgQYbiSEA4fj00-G_dF0tGEF2qZI6gPtkmTY_bvJPmDjQjuA5o0GwarEhTndYnMaKQjDOeAuyIyaiyGX0RFbz6RPGctqhJJixxadSbU5zBfSTWOH087KbYMzbETqvmYFsvSXj9Iv82CIkdHx2BbN6qAsELMBhtHQpHKVoIVjBmBjpRE4yr45rTMUSA2QZoxwiOeRJuwdEC-IIvkKUrHwdWPBL0szEl7Mnkjwh8_3DZeYoeMdBB66zrld64zDAG-HQ1y-q0q5vUkRSH69OPecmjBr1lsM2kxj0S-Sae8Yw1LHWcNkT7hk4iujLBkRAAoQ',
};
const keysOfNobody: Readonly<Record<string, JsonWebKeyRecord>> = {
  RS384: { ...rsaOfNobody, alg: 'RS384', kid: '' },
  RS512: { ...rsaOfNobody, alg: 'RS512', kid: '' },
  ES384: {
    kty: 'EC',
    crv: 'P-384',
    x: '_7fHaqdJY0B9FngQEYKc_M743zLlbfpjF-XJCrubtImvKhWTvR72I6cKgapcBg-C',
    y: 'tykHO67kVZhJfBsOTrHcWVT-lmROi30dKc9K0pqvFqOqXrib0o2rFYCWpoY-n7CY',
    alg: 'ES384',
    kid: '',
  },
};
const importedKeys = new WeakMap<JsonWebKeyRecord, Promise<CryptoKey | Uint8Array>>();

/**
 * Authenticates a client by its assertion (RFC 7523 section 3, SMART Backend Services, RFC 8725). The registry fixes
 * the algorithm of each key, and the `jti` is recorded durably so that it is accepted once. Rejects if the store fails.
 * The `jti` may then have been recorded or not, so no token may be issued.
 */
export async function verifyClientAssertion(assertion: string, rule: AssertionRule): Promise<AssertionResult> {
  const jwt = parseJwt(assertion);
  if (jwt === undefined) return refusedBy('malformed');
  if (jwt.header.typ.toLowerCase() !== 'jwt') return refusedBy('typ');
  const clientId = jwt.claims['iss'];
  const client = typeof clientId === 'string' ? rule.registry.clients.get(clientId) : undefined;
  const refused = (reason: string): AssertionResult => refusedBy(reason, client?.clientId);
  const key = client && selectKey(client, jwt);
  const isSigned = await hasSignatureOf(key ?? keysOfNobody[jwt.header.alg], assertion);
  if (client === undefined) return refused('unknown-client');
  if (key === undefined) return refused('no-key');
  if (!isSigned) return refused('signature');
  const { sub, aud, jti } = jwt.claims;
  if (sub !== client.clientId) return refused('sub');
  const audience: unknown = Array.isArray(aud) && aud.length === 1 ? aud[0] : aud;
  if (audience !== rule.tokenUrl) return refused('aud');
  const expS = checkTimes(jwt.claims, {
    nowMs: rule.nowMs,
    expiredLeewayS: leewayS,
    futureLeewayS: leewayS,
    maxAheadS: maxAheadS + leewayS,
  });
  if (expS === undefined) return refused('time');
  if (typeof jti !== 'string' || jti === '' || jti.length > 128) return refused('jti');
  // Kept a minute longer than the assertion is accepted, in case the clock is set back a little.
  const forgetAtMs = Math.ceil((expS + leewayS + 60) * 1000);
  if (!(await rule.useOnce(replayKey(client.clientId, jti), forgetAtMs, rule.nowMs))) return refused('replayed');
  return { kind: 'verified', client, claims: jwt.claims, key };
}

function refusedBy(reason: string, clientId?: string): AssertionResult {
  return { kind: 'refused', reason, clientId };
}

/**
 * Returns the registered key with the `kid` of the header, if exactly one exists and its registered `alg` is the
 * header's.
 */
function selectKey(client: Client, { header }: ParsedJwt): JsonWebKeyRecord | undefined {
  const [key, another] = client.jwks.keys.filter((each) => each.kid === header.kid);
  if (key === undefined || another !== undefined || key['alg'] !== header.alg) return undefined;
  return clientAlgorithms.some((alg) => alg === header.alg) ? key : undefined;
}

async function hasSignatureOf(key: JsonWebKeyRecord | undefined, assertion: string): Promise<boolean> {
  if (key === undefined) return false;
  const alg = String(key['alg']);
  const imported = importedKeys.get(key) ?? importJWK({ ...key }, alg);
  importedKeys.set(key, imported);
  try {
    await compactVerify(assertion, await imported, { algorithms: [alg] });
    return true;
  } catch {
    return false;
  }
}

function replayKey(clientId: string, jti: string): string {
  const hash = createHash('sha256')
    .update(JSON.stringify([clientId, jti]))
    .digest('base64url');
  return `jti:${hash}`;
}
