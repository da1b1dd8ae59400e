import { readFileSync } from 'node:fs';
import type { JWK } from 'jose';
import { describeExposure } from '../../files/exposure.ts';
import { parseWebhookSecret } from '../../registry/parse-webhook-secret.ts';
import { UsageError } from './command-line.ts';

/** Reads the file that an option names. Throws UsageError if it cannot be read. */
export function readFileOf(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new UsageError(`${option}: cannot read the file ${file} (${code}).`);
  }
}

/** Reads a file that holds a secret. Throws UsageError if others can read it, or if it cannot be read. */
export function readSecretFileOf(option: string, file: string): Buffer {
  const secret = readFileOf(option, file);
  refuseExposed(option, file);
  return secret;
}

function refuseExposed(option: string, file: string): void {
  const exposed = describeExposure(file);
  if (exposed !== undefined) throw new UsageError(`${option}: ${exposed}`);
}

/** Reads a private JWK as `cpis keygen` writes it. Throws UsageError if the file holds no such key. */
export function readPrivateKey(option: string, file: string): JWK {
  try {
    const jwk: JWK = JSON.parse(readFileOf(option, file).toString('utf8'));
    if (jwk.d !== undefined) refuseExposed(option, file);
    if (jwk.d !== undefined && jwk.kid !== undefined && jwk.alg !== undefined) return jwk;
  } catch (error) {
    if (error instanceof UsageError) throw error;
  }
  throw new UsageError(
    `${option}: the file ${file} holds no private JWK with kid and alg. Create one with "cpis keygen --out FILE".`,
  );
}

/** Reads a file of Standard Webhooks secrets, one on each line. Throws UsageError if one is malformed. */
export function readWebhookSecrets(option: string, file: string): Buffer[] {
  const lines = readFileOf(option, file)
    .toString('utf8')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  const secrets = lines.map((line, index) => {
    const secret = parseWebhookSecret(line.trim());
    if (secret === undefined)
      throw new UsageError(`${option}: line ${index + 1} must be whsec_ followed by the base64 of 24 to 64 bytes.`);
    return secret;
  });
  refuseExposed(option, file);
  return secrets;
}
