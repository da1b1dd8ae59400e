import { openAccessTokenSource } from '../../auth/access-token-source.ts';
import { baseUrlOf, CommandError, readArguments, required, UsageError, wholeNumber } from '../command-line.ts';
import { readFileOf, readPrivateKey, readWebhookSecrets } from '../read-file.ts';
import { openServerSession, type ServerSession } from '../server-session.ts';
import { loadPublicKeys } from '../verify-notification.ts';
import { groupCommits } from './group-commit.ts';
import { type Inbox, openInbox } from './inbox.ts';
import { openKeyring, type VerifyArrived } from './keyring.ts';
import { type OutputFormat, openOutput, outputFormats } from './open-output.ts';
import { openReceiver } from './open-receiver.ts';
import { openRecovery } from './recover.ts';

const usage = `Usage: cpis receive --inbox FILE (--keys URL|FILE | --secrets FILE | --unsigned) [options]

The endpoint of a local authority: takes notifications as PUT {endpoint}/AuditEvent/{id} (plain R4) and as POST of Bundles
(R5 Backport), checks who sent them, keeps each event once, and answers 2xx when that is durable. Prints each access.

  --inbox FILE          what has arrived: an SQLite file
  --keys URL|FILE       the server's public keys: https://<server>/.well-known/notification-keys.json
  --secrets FILE        your secrets (whsec_...), one on each line
  --unsigned            take whatever comes: for tests only
  --authorization FILE  a file with the Authorization header that your Subscription sends along, such as "Bearer ..."
  --host ADDRESS        127.0.0.1 unless given: a reverse proxy in front ends TLS
  --port N              8090 unless given; 0: any that is free
  --path PATH           /notifications unless given
  --format NAME         lines, ndjson or csv; lines unless given
  --output FILE         where accesses go; standard output unless given
  --server URL          the FHIR base: gaps in the event numbers, and content that was not sent along, are fetched from it
  --client-id ID        with --server: your client of the registry
  --key FILE            with --server: its private key, made by "cpis keygen"

Ends with SIGINT or SIGTERM; started again with the same inbox it goes on.
`;

const scope = 'system/Subscription.rs system/AuditEvent.rs';
const options = {
  inbox: { type: 'string' },
  keys: { type: 'string' },
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

const tell = (text: string): void => void process.stderr.write(`${text}\n`);

/** `cpis receive`: see the usage above. Resolves when it listens. */
export async function receive(args: readonly string[]): Promise<void> {
  const { values } = readArguments(args, options);
  if (values.help) {
    process.stdout.write(usage);
    return;
  }
  const verify = buildVerify(values);
  const authorization =
    values.authorization === undefined
      ? undefined
      : required(
          readFileOf('--authorization', values.authorization).toString('latin1').trim(),
          'A header in --authorization',
        );
  if (authorization === undefined && values.keys !== undefined) {
    tell('warning: without --authorization, another authority could pass on what it was sent itself');
  }
  const port = wholeNumber(values.port, '--port', 0, 65_535, 8090);
  if (!/^(\/[A-Za-z0-9._~-]+)+$/.test(values.path)) throw new UsageError('--path is a path such as /notifications.');
  const format = formatOf(values.format);
  const session = openSession(values);
  const closing = new AbortController();
  const inbox = open(required(values.inbox, '--inbox'), session !== undefined);
  const output = openOutput(inbox, format, values.output);

  const print = (): void => {
    try {
      output.catchUp();
    } catch (error) {
      tell(`the output cannot be written (${codeOf(error)}): what is missing there is in the inbox, and comes later`);
    }
  };
  const record = groupCommits(inbox, ({ warnings, behind }) => {
    for (const warning of new Set(warnings)) tell(`warning: ${warning}`);
    for (const [subscription, known] of behind) recovery?.tellBehind(subscription, known);
    print();
    recovery?.look();
  });
  const recovery =
    session === undefined
      ? undefined
      : openRecovery({
          ...{ inbox, session, record, now: Date.now, onNotice: tell, onKept: print },
          backOff: { giveUpAfterMs: 60_000, signal: closing.signal },
        });
  print();
  const receiver = await openReceiver({
    ...{ host: values.host, port, path: values.path, authorization, verify, record, now: Date.now },
    onRefused: (status, reason) => tell(`refused with ${status}: ${reason}`),
  }).catch((error: unknown) => {
    throw new CommandError(`It cannot listen on ${values.host}, port ${port} (${codeOf(error)}).`);
  });
  recovery?.look();
  tell(`listening at ${receiver.endpoint}`);

  const end = async (): Promise<void> => {
    closing.abort();
    await receiver.close();
    await recovery?.close();
    print();
    const { events, missing } = inbox.counts();
    inbox.close();
    output.close();
    tell(`${events} accesses received, ${missing} event numbers missing`);
  };
  // Nobody may be reading any more what is told there.
  process.stderr.on('error', () => undefined);
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void end());
}

type Values = ReturnType<typeof readArguments<typeof options>>['values'];

function buildVerify({ keys, secrets, unsigned }: Values): VerifyArrived | undefined {
  if (keys === undefined && secrets === undefined) {
    if (unsigned) return undefined;
    throw new UsageError('--keys, --secrets or --unsigned is needed.');
  }
  if (unsigned) throw new UsageError('--unsigned goes with neither --keys nor --secrets.');
  return openKeyring({
    loadPublicKeys: keys === undefined ? undefined : () => loadPublicKeys(keys),
    secrets: secrets === undefined ? [] : readWebhookSecrets('--secrets', secrets),
    now: Date.now,
  });
}

function formatOf(text: string): OutputFormat {
  const format = outputFormats.find((each) => each === text);
  if (format === undefined) throw new UsageError(`--format is one of ${outputFormats.join(', ')}.`);
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
    throw new CommandError(`The inbox ${file} cannot be opened (${codeOf(error)}).`);
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown error';
}
