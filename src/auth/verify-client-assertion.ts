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
  | { readonly kind: 'refused'; readonly reason: string };

/** Maximum difference between the clocks of client and server. */
const leewayS = 10;
const maxAheadS = 300;
const importedKeys = new WeakMap<JsonWebKeyRecord, Promise<CryptoKey | Uint8Array>>();

/**
 * Authenticates a client by its assertion (RFC 7523 section 3, SMART Backend Services, RFC 8725). The registry fixes
 * the algorithm of each key, and the `jti` is recorded durably so that it is accepted once. Rejects if the store fails.
 * The `jti` may then have been recorded or not, so no token may be issued.
 */
export async function verifyClientAssertion(assertion: string, rule: AssertionRule): Promise<AssertionResult> {
  const jwt = parseJwt(assertion);
  if (jwt === undefined) return refused('malformed');
  const clientId = jwt.claims['iss'];
  const client = typeof clientId === 'string' ? rule.registry.clients.get(clientId) : undefined;
  if (client === undefined) return refused('unknown-client');
  const key = selectKey(client, jwt);
  if (key === undefined) return refused('no-key');
  if (jwt.header.typ.toLowerCase() !== 'jwt') return refused('typ');
  if (!(await hasSignatureOf(key, assertion))) return refused('signature');
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

function refused(reason: string): AssertionResult {
  return { kind: 'refused', reason };
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

async function hasSignatureOf(key: JsonWebKeyRecord, assertion: string): Promise<boolean> {
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
