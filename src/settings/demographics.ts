import { createPrivateKey } from 'node:crypto';
import type { JWK } from 'jose';
import { describeExposure } from '../files/exposure.ts';
import { checkUrl } from './check-url.ts';
import type { SettingName } from './settings-schema.ts';

/** How the Personal Demographics Service is asked. */
export interface PdsSettings {
  /** FHIR base, without a slash at the end. */
  readonly baseUrl: string;
  readonly tokenUrl: string;
  /** The API key. */
  readonly clientId: string;
  /** Never logged. */
  readonly privateJwk: JWK;
  readonly odsCode: string | undefined;
  readonly ratePerSecond: number;
  readonly timeoutMs: number;
  readonly cacheAgeMs: number;
}

const needed = ['CPIS_PDS_URL', 'CPIS_PDS_TOKEN_URL', 'CPIS_PDS_CLIENT_ID', 'CPIS_PDS_KEY_FILE'] as const;

/**
 * Reads the settings of the demographics service; undefined if there is none. Adds what is wrong to `problems`. `values` are
 * the settings, and `given` the names of those that are set.
 */
export function readPdsSettings(
  values: Readonly<Record<string, unknown>>,
  given: ReadonlySet<string>,
  readText: (path: string) => string,
  allowLoopback: boolean,
  problems: string[],
): PdsSettings | undefined {
  if (values['CPIS_DEMOGRAPHICS'] !== 'pds') {
    const idle = [...given].filter((name) => name.startsWith('CPIS_PDS_'));
    problems.push(...idle.map((name) => `${name}: needs CPIS_DEMOGRAPHICS=pds`));
    return undefined;
  }
  const text = (name: SettingName): string => (typeof values[name] === 'string' ? values[name] : '');
  const missing = needed.filter((name) => text(name) === '');
  problems.push(...missing.map((name) => `${name}: is required because CPIS_DEMOGRAPHICS is pds`));
  if (missing.length > 0) return undefined;
  for (const name of ['CPIS_PDS_URL', 'CPIS_PDS_TOKEN_URL'] as const) {
    const problem = checkUrl(text(name), allowLoopback);
    if (problem !== undefined) problems.push(`${name}: ${problem}`);
  }
  const privateJwk = readKey(text('CPIS_PDS_KEY_FILE'), readText);
  if (typeof privateJwk === 'string') {
    problems.push(`CPIS_PDS_KEY_FILE: ${privateJwk}`);
    return undefined;
  }
  return {
    baseUrl: text('CPIS_PDS_URL').replace(/\/+$/, ''),
    tokenUrl: text('CPIS_PDS_TOKEN_URL'),
    clientId: text('CPIS_PDS_CLIENT_ID'),
    privateJwk,
    odsCode: text('CPIS_PDS_ODS_CODE') || undefined,
    ratePerSecond: Number(values['CPIS_PDS_RATE']),
    timeoutMs: Number(values['CPIS_PDS_TIMEOUT_MS']),
    cacheAgeMs: Number(values['CPIS_PDS_CACHE_AGE_S']) * 1_000,
  };
}

/** Reads a private RSA key with a `kid`, as `cpis keygen --alg RS512` writes it. Returns a text if it is none. */
function readKey(file: string, readText: (path: string) => string): JWK | string {
  let text: string;
  try {
    text = readText(file);
  } catch {
    return 'cannot read the file';
  }
  const exposed = describeExposure(file);
  if (exposed !== undefined) return exposed;
  try {
    const jwk: JWK = JSON.parse(text);
    const key = createPrivateKey({ key: { ...jwk }, format: 'jwk' });
    const isUsable = key.asymmetricKeyType === 'rsa' && typeof jwk.kid === 'string' && jwk.kid !== '';
    if (isUsable) return jwk;
  } catch {
    // Reported below, without the content of the file.
  }
  return 'must hold a private RSA key as a JWK with a kid, as "cpis keygen --alg RS512" writes it';
}
