import { readFileSync } from 'node:fs';
import type { JWK } from 'jose';
import { parseWebhookSecret } from '../registry/parse-webhook-secret.ts';
import { UsageError } from './command-line.ts';

/** The bytes of a file that an option names. Throws UsageError when it cannot be read. */
export function readFileOf(option: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
    throw new UsageError(`${option}: the file ${file} cannot be read (${code}).`);
  }
}

/** The private JWK that `cpis keygen` wrote. Throws UsageError when the file holds no such key. */
export function readPrivateKey(option: string, file: string): JWK {
  try {
    const jwk: JWK = JSON.parse(readFileOf(option, file).toString('utf8'));
    if (jwk.d !== undefined && jwk.kid !== undefined && jwk.alg !== undefined) return jwk;
  } catch (error) {
    if (error instanceof UsageError) throw error;
  }
  throw new UsageError(`${option}: the file ${file} holds no private JWK with kid and alg; "cpis keygen" makes one.`);
}

/** The Standard Webhooks secrets of a file, one on each line. Throws UsageError when one is malformed. */
export function readWebhookSecrets(option: string, file: string): Buffer[] {
  const lines = readFileOf(option, file)
    .toString('utf8')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '');
  return lines.map((line, index) => {
    const secret = parseWebhookSecret(line.trim());
    if (secret === undefined)
      throw new UsageError(`${option}: line ${index + 1} is not whsec_ and the base64 of 24 to 64 bytes.`);
    return secret;
  });
}
