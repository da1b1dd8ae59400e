import { readPublicKeys, type VerificationKeys } from '../../notification/outbound-http/verify-notification.ts';
import { UsageError } from '../terminal/command-line.ts';
import { readFileOf } from '../terminal/read-file.ts';

/** Loads the keys of a JWK Set at a URL or in a file. Throws UsageError if that fails. */
export async function loadPublicKeys(source: string): Promise<VerificationKeys['publicKeys']> {
  try {
    return readPublicKeys(JSON.parse(await readSource(source)));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError('--keys: found no JWK Set with an Ed25519 key. Check the URL or file.');
  }
}

async function readSource(source: string): Promise<string> {
  if (!/^https?:\/\//.test(source)) return readFileOf('--keys', source).toString('utf8');
  const response = await fetch(source, { redirect: 'error', signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new TypeError('not found');
  return await response.text();
}
