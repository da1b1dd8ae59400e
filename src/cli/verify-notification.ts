import { buffer } from 'node:stream/consumers';
import {
  defaultToleranceMs,
  type NotificationHeaders,
  readPublicKeys,
  type VerificationKeys,
  verifyNotification,
} from '../notification/outbound-http/verify-notification.ts';
import { readArguments, required, UsageError, wholeNumber } from './command-line.ts';
import { readFileOf, readWebhookSecrets } from './read-file.ts';

export const verifyUsage = `Usage: cpis verify-notification --headers FILE [--body FILE] (--keys URL|FILE | --secrets FILE) [options]

Says whether a notification is from the server and unchanged: "valid" and status 0, or why not and status 1.

  --headers FILE     the request's headers, "Name: value" on each line, or a JSON object
  --body FILE        the body, byte for byte; unless given, standard input
  --keys URL|FILE    the server's public keys: https://<server>/.well-known/notification-keys.json
  --secrets FILE     your secrets (whsec_...), one on each line
  --tolerance-s N    how many seconds its time may be away from now; 300 unless given
  --any-time         whatever its time is: for a notification that was stored
`;

/** `cpis verify-notification`: exit code 0 valid, 1 not, 2 wrong usage. */
export async function verifyNotificationCommand(args: readonly string[]): Promise<void> {
  const { values } = readArguments(args, {
    headers: { type: 'string' },
    body: { type: 'string' },
    keys: { type: 'string' },
    secrets: { type: 'string' },
    'tolerance-s': { type: 'string' },
    'any-time': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    process.stdout.write(verifyUsage);
    return;
  }
  const headers = parseHeaders(readFileOf('--headers', required(values.headers, '--headers')).toString('latin1'));
  const keys = await loadVerificationKeys(values.keys, values.secrets);
  const toleranceS = wholeNumber(values['tolerance-s'], '--tolerance-s', 1, 86_400, defaultToleranceMs / 1000);
  const body = values.body === undefined ? await buffer(process.stdin) : readFileOf('--body', values.body);
  const toleranceMs = values['any-time'] ? Number.POSITIVE_INFINITY : toleranceS * 1000;
  const result = verifyNotification(headers, body, keys, Date.now(), toleranceMs);
  if (result.kind === 'valid') {
    process.stdout.write(`valid: signed at ${new Date(result.sentMs).toISOString()}, scheme ${result.scheme}\n`);
    return;
  }
  process.stdout.write(`not valid: ${result.reason}\n`);
  process.exitCode = 1;
}

/** What `--keys` (a URL or a file) and `--secrets` (a file) name; at least one of them. Throws UsageError. */
export async function loadVerificationKeys(
  keys: string | undefined,
  secrets: string | undefined,
): Promise<VerificationKeys> {
  if (keys === undefined && secrets === undefined) throw new UsageError('--keys or --secrets is needed.');
  return {
    publicKeys: keys === undefined ? [] : await loadPublicKeys(keys),
    secrets: secrets === undefined ? [] : readWebhookSecrets('--secrets', secrets),
  };
}

/** The keys of a JWK Set at a URL or in a file. Throws UsageError when they cannot be had. */
export async function loadPublicKeys(source: string): Promise<VerificationKeys['publicKeys']> {
  try {
    return readPublicKeys(JSON.parse(await readSource(source)));
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError('--keys: no JWK Set with an Ed25519 key was found there.');
  }
}

async function readSource(source: string): Promise<string> {
  if (!/^https?:\/\//.test(source)) return readFileOf('--keys', source).toString('utf8');
  const response = await fetch(source, { redirect: 'error', signal: AbortSignal.timeout(10_000) });
  if (!response.ok) throw new TypeError('not found');
  return await response.text();
}

function parseHeaders(text: string): NotificationHeaders {
  const headers = text.trimStart().startsWith('{') ? readJsonHeaders(text) : readHeaderLines(text);
  return {
    id: headers.get('webhook-id'),
    timestamp: headers.get('webhook-timestamp'),
    signature: headers.get('webhook-signature'),
  };
}

function readHeaderLines(text: string): Map<string, string> {
  const headers = new Map<string, string>();
  for (const line of text.split(/\r?\n/)) {
    const [, name = '', value = ''] = /^([^:\s]+):\s*(.*?)\s*$/.exec(line) ?? [];
    headers.set(name.toLowerCase(), value);
  }
  return headers;
}

function readJsonHeaders(text: string): Map<string, string> {
  try {
    const entries: [string, unknown][] = Object.entries(JSON.parse(text));
    return new Map(entries.map(([name, value]) => [name.toLowerCase(), String(value)]));
  } catch {
    throw new UsageError('--headers: neither header lines nor a JSON object.');
  }
}
