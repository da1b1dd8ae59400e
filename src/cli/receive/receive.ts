import { openAccessTokenSource } from '../../auth/access-token-source.ts';
import { loadPublicKeys } from '../client/load-public-keys.ts';
import { openServerSession, type ServerSession } from '../client/server-session.ts';
import {
  baseUrlOf,
  CommandError,
  type CommandIo,
  readArguments,
  required,
  UsageError,
  wholeNumber,
} from '../terminal/command-line.ts';
import { readPrivateKey, readSecretFileOf, readWebhookSecrets } from '../terminal/read-file.ts';
import { groupCommits } from './group-commit.ts';
import { type Inbox, openInbox } from './inbox.ts';
import { openKeyring, type VerifyNotification } from './keyring.ts';
import { type OutputFormat, openOutput, outputFormats } from './open-output.ts';
import { openReceiver } from './open-receiver.ts';
import { openRecovery } from './recover.ts';

const usage = `Usage: cpis receive --inbox FILE (--keys URL|FILE | --secrets FILE | --unsigned) [options]

Runs the endpoint of a local authority. Accepts notifications as PUT {endpoint}/AuditEvent/{id} (plain R4) and as POST
of Bundles (R5 Backport), verifies the sender, stores each event once, and responds with 2xx when the event is durable.
Prints each access.

  --inbox FILE          the store of received events, an SQLite file
  --keys URL|FILE       the server's public keys: https://<server>/.well-known/notification-keys.json
  --recipient CODE      your authority's GSS code: refuse what was signed for another authority
  --secrets FILE        your secrets (whsec_...), one on each line
  --unsigned            accept unverified notifications, for tests only
  --authorization FILE  a file with the Authorization header that your Subscription sends, such as "Bearer ..."
  --host ADDRESS        address to listen on (default 127.0.0.1, for use behind a reverse proxy with TLS)
  --port N              port to listen on (default 8090); 0 selects a free port
  --path PATH           path of the endpoint (default /notifications)
  --format NAME         format of the output: lines, ndjson or csv (default lines)
  --output FILE         file to which accesses are appended (default: standard output)
  --server URL          the FHIR base, from which missing events and missing content are fetched
  --client-id ID        with --server: your client in the registry
  --key FILE            with --server: its private key, created by "cpis keygen"

Stop it with SIGINT or SIGTERM. Started again with the same inbox, it continues where it stopped.
`;

const scope = 'system/Subscription.rs system/AuditEvent.rs';
const options = {
  inbox: { type: 'string' },
  keys: { type: 'string' },
  recipient: { type: 'string' },
  secrets: { type: 'string' },
  unsigned: { type: 'boolean', default: false },
  authorization: { type: 'string' },
  host: { type: 'string', default: '127.0.0.1' },
  port: { type: 'string' },
  path: { type: 'string', default: '/notifications' },
  format: { type: 'string', default: 'lines' },
  output: { type: 'string' },
  server: { type: 'string' },
  'client-id': { type: 'string' },
  key: { type: 'string' },
  help: { type: 'boolean', default: false },
} as const;

/** Runs `cpis receive`. Resolves when it listens. */
export async function receive(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const log = (text: string): void => void stderr.write(`${text}\n`);
  const { values } = readArguments(args, options);
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  const verify = buildVerify(values);
  const authorization =
    values.authorization === undefined
      ? undefined
      : required(
          readSecretFileOf('--authorization', values.authorization).toString('latin1').trim(),
          'A header in --authorization',
        );
  if (authorization === undefined && values.keys !== undefined) {
    log('warning: without --authorization, another authority could replay to you a notification that it received');
  }
  const port = wholeNumber(values.port, '--port', 0, 65_535, 8090);
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(values.path))
    throw new UsageError('--path must be a path such as /notifications.');
  const format = formatOf(values.format);
  const session = openSession(values);
  const closing = new AbortController();
  const inbox = open(required(values.inbox, '--inbox'), session !== undefined);
  const output = openOutput(inbox, format, values.output);

  const print = (): void => {
    try {
      output.catchUp();
    } catch (error) {
      log(`cannot write the output (${codeOf(error)}); the accesses are in the inbox and will be written later`);
    }
  };
  const record = groupCommits(inbox, ({ warnings, regressions }) => {
    for (const warning of new Set(warnings)) log(`warning: ${warning}`);
    for (const [subscription, known] of regressions) recovery?.reportRegression(subscription, known);
    print();
    recovery?.checkSoon();
  });
  const recovery =
    session === undefined
      ? undefined
      : openRecovery({
          ...{ inbox, session, record, now: Date.now, onNotice: log, onStored: print },
          backOff: { giveUpAfterMs: 60_000, signal: closing.signal },
        });
  print();
  const receiver = await openReceiver({
    ...{ host: values.host, port, path: values.path, authorization, verify, record, now: Date.now },
    onRefused: (status, reason) => log(`refused with status ${status}: ${reason}`),
  }).catch((error: unknown) => {
    throw new CommandError(`Cannot listen on ${values.host}, port ${port} (${codeOf(error)}).`);
  });
  recovery?.checkSoon();
  log(`listening at ${receiver.endpoint}`);

  const end = async (): Promise<void> => {
    closing.abort();
    await receiver.close();
    await recovery?.close();
    print();
    const { events, missing } = inbox.counts();
    inbox.close();
    output.close();
    log(`${events} accesses received, ${missing} event numbers missing`);
  };
  // The reader of standard error may have gone; that must not end the receiver.
  process.stderr.on('error', () => undefined);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end());
  return 0;
}

type Values = ReturnType<typeof readArguments<typeof options>>['values'];

function buildVerify({ keys, secrets, recipient, unsigned }: Values): VerifyNotification | undefined {
  if (keys === undefined && secrets === undefined) {
    if (unsigned) return undefined;
    throw new UsageError('Set --keys, --secrets or --unsigned.');
  }
  if (unsigned) throw new UsageError('--unsigned cannot be combined with --keys or --secrets.');
  return openKeyring({
    loadPublicKeys: keys === undefined ? undefined : () => loadPublicKeys(keys),
    secrets: secrets === undefined ? [] : readWebhookSecrets('--secrets', secrets),
    recipient,
    now: Date.now,
  });
}

function formatOf(text: string): OutputFormat {
  const format = outputFormats.find((each) => each === text);
  if (format === undefined) throw new UsageError(`--format must be one of ${outputFormats.join(', ')}.`);
  return format;
}

function openSession(values: Values): ServerSession | undefined {
  if (values.server === undefined) return undefined;
  const baseUrl = baseUrlOf(values.server, '--server');
  const clientId = required(values['client-id'], '--client-id');
  const privateJwk = readPrivateKey('--key', required(values.key, '--key'));
  const tokens = openAccessTokenSource(baseUrl, { clientId, privateJwk, scope });
  return openServerSession({ baseUrl, tokens, requestTimeoutMs: 30_000 });
}

function open(file: string, fetches: boolean): Inbox {
  try {
    return openInbox(file, { fetches });
  } catch (error) {
    throw new CommandError(`Cannot open the inbox ${file} (${codeOf(error)}).`);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
