/** Parses JSON Web Tokens strictly, before their signature is verified. RFC 7519, RFC 8725. */
import { parseJson } from '../fhir/json.ts';

export type JsonRecord = Readonly<Record<string, unknown>>;

export interface ParsedJwt {
  readonly header: JsonRecord & { readonly alg: string; readonly kid: string; readonly typ: string };
  readonly claims: JsonRecord;
}

/** Maximum length of a token, in characters. */
const maxTokenLength = 8192;
const base64url = /^[A-Za-z0-9_-]+$/;
const limits = { maxDepth: 8, maxKeys: 200 };

/**
 * Header parameters that bring their own key or URL, change how the signature is computed, or must be understood. A
 * token with one of them is refused, and nothing is fetched for it.
 */
const refusedHeaders = ['jku', 'jwk', 'x5u', 'x5c', 'crit', 'b64', 'zip', 'cty', 'enc'];

/**
 * Parses a signed JWT. Returns undefined unless it has three parts of canonical base64url, JSON objects without
 * duplicate names, `alg`, `kid` and `typ` as short strings, and no refused header parameter. The content must not be
 * trusted until the signature is verified.
 */
export function parseJwt(token: string): ParsedJwt | undefined {
  if (token.length > maxTokenLength) return undefined;
  const parts = token.split('.');
  if (parts.length !== 3 || !parts.every(isCanonical)) return undefined;
  const header = parsePart(parts[0]);
  const claims = parsePart(parts[1]);
  if (header === undefined || claims === undefined) return undefined;
  const { alg, kid, typ } = header;
  if (!isShort(alg) || !isShort(kid) || !isShort(typ)) return undefined;
  if (refusedHeaders.some((name) => Object.hasOwn(header, name))) return undefined;
  return { header: { ...header, alg, kid, typ }, claims };
}

interface TimeRule {
  readonly nowMs: number;
  /** How far `exp` may lie in the past. */
  readonly expiredLeewayS: number;
  /** How far `iat` and `nbf` may lie in the future. */
  readonly futureLeewayS: number;
  /** How far `exp` may lie in the future. */
  readonly maxAheadS: number;
}

/** Returns `exp` in seconds if the time claims are valid now, else undefined. `iat` and `nbf` are optional. */
export function checkTimes(claims: JsonRecord, rule: TimeRule): number | undefined {
  const now = rule.nowMs / 1000;
  const { exp, iat, nbf } = claims;
  if (typeof exp !== 'number' || exp <= now - rule.expiredLeewayS || exp > now + rule.maxAheadS) return undefined;
  for (const start of [iat, nbf]) {
    if (start !== undefined && !(typeof start === 'number' && start >= 0 && start <= now + rule.futureLeewayS)) {
      return undefined;
    }
  }
  return exp;
}

export function isRecord(value: unknown): value is JsonRecord {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isShort(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && value.length <= 200;
}

/** Rejects padding and stray bits, so that each token has one text only. */
function isCanonical(part: string): boolean {
  return base64url.test(part) && Buffer.from(part, 'base64url').toString('base64url') === part;
}

function parsePart(part: string | undefined): JsonRecord | undefined {
  try {
    const value = parseJson(Buffer.from(part ?? '', 'base64url'), limits);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}
