import { buffer } from 'node:stream/consumers';
import {
  defaultToleranceMs,
  type NotificationHeaders,
  type VerificationKeys,
  verifyNotification,
} from '../notification/outbound-http/verify-notification.ts';
import { loadPublicKeys } from './client/load-public-keys.ts';
import { type CommandIo, readArguments, required, UsageError, wholeNumber } from './terminal/command-line.ts';
import { readFileOf, readWebhookSecrets } from './terminal/read-file.ts';

export const verifyUsage = `Usage: cpis verify-notification --headers FILE [--body FILE] (--keys URL|FILE | --secrets FILE) [options]

Checks that a notification comes from the server and is unchanged.

  --headers FILE   the headers of the request: "Name: value" on each line, or a JSON object
  --body FILE      the body, byte for byte (default: standard input)
  --keys URL|FILE  the server's public keys: https://<server>/.well-known/notification-keys.json
  --secrets FILE   your secrets (whsec_...), one on each line
  --recipient CODE your authority's GSS code: not valid if signed for another authority
  --tolerance-s N  maximum difference between the signed time and now, in seconds (default 300)
  --any-time       accept any signed time, for a notification that was stored

Exit status: 0 valid, 1 not valid (the reason is printed), 2 wrong usage.
`;

/** Runs `cpis verify-notification`. */
export async function verifyNotificationCommand(
  args: readonly string[],
  { stdin, stdout }: CommandIo,
): Promise<number> {
  const { values } = readArguments(args, {
    headers: { type: 'string' },
    body: { type: 'string' },
    keys: { type: 'string' },
    secrets: { type: 'string' },
    recipient: { type: 'string' },
    'tolerance-s': { type: 'string' },
    'any-time': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(verifyUsage);
    return 0;
  }
  const headers = parseHeaders(readFileOf('--headers', required(values.headers, '--headers')).toString('latin1'));
  const keys = { ...(await loadVerificationKeys(values.keys, values.secrets)), recipient: values.recipient };
  const toleranceS = wholeNumber(values['tolerance-s'], '--tolerance-s', 1, 86_400, defaultToleranceMs / 1000);
  const body = values.body === undefined ? await buffer(stdin) : readFileOf('--body', values.body);
  const toleranceMs = values['any-time'] ? Number.POSITIVE_INFINITY : toleranceS * 1000;
  const result = verifyNotification(headers, body, keys, Date.now(), toleranceMs);
  if (result.kind === 'valid') {
    stdout.write(`valid: signed at ${new Date(result.sentMs).toISOString()}, scheme ${result.scheme}\n`);
    return 0;
  }
  stdout.write(`not valid: ${result.reason}\n`);
  return 1;
}

/** Loads the keys of `--keys` (a URL or a file) and `--secrets` (a file). Throws UsageError if neither is given. */
export async function loadVerificationKeys(
  keys: string | undefined,
  secrets: string | undefined,
): Promise<VerificationKeys> {
  if (keys === undefined && secrets === undefined) throw new UsageError('Set --keys or --secrets.');
  return {
    publicKeys: keys === undefined ? [] : await loadPublicKeys(keys),
    secrets: secrets === undefined ? [] : readWebhookSecrets('--secrets', secrets),
  };
}

function parseHeaders(text: string): NotificationHeaders {
  const headers = text.trimStart().startsWith('{') ? readJsonHeaders(text) : readHeaderLines(text);
  return {
    id: headers.get('webhook-id'),
    timestamp: headers.get('webhook-timestamp'),
    signature: headers.get('webhook-signature'),
    recipient: headers.get('webhook-recipient'),
    recipientSignature: headers.get('webhook-recipient-signature'),
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
    throw new UsageError('--headers: the file starts with "{" but is not a JSON object.');
  }
}
