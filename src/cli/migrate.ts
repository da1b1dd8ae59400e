import { defined } from '../fhir/defined.ts';
import { requirePrivate } from '../files/exposure.ts';
import type { MigrationProgress } from '../migration/migrate-store.ts';
import { loadSettings, SettingsError } from '../settings/settings.ts';
import { type CopyKind, copyKinds } from '../store/store-copy.ts';
import { StoreStartError } from '../store/store-start-error.ts';
import { CommandError, type CommandIo, readArguments, required, wholeNumber } from './terminal/command-line.ts';

const migrateUsage = `Usage: cpis migrate --from FOLDER [--to mongodb://HOST/DATABASE] [--page N]

Copies everything in the data folder of an embedded store into an empty MongoDB database, then compares both. Stop every
server on the folder and the database first. If the command is interrupted, run it again: it continues where it stopped.

  --from FOLDER  the data folder
  --to URL       the database (default: CPIS_MONGODB_URL, which hides the password from other users of this machine)
  --page N       records to write together, 1 to 5000 (default 500)

CPIS_MONGODB_TIMEOUT_MS applies as it does for the server.

Exit status:
  0  the copy is complete and identical
  1  the copy is incomplete or differs
  2  wrong usage, or the folder or database cannot be used
`;

const names: Readonly<Record<CopyKind, string>> = {
  resource: 'resources',
  audit: 'audit events',
  usedOnce: 'single-use keys',
  deliveryCount: 'counts of deliveries',
  breach: 'missed delivery deadlines',
  subscriptionEvent: 'Subscription events',
  acknowledged: 'Subscription acknowledgements',
};

/** Runs `cpis migrate`. */
export async function migrate(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const say = (text: string): void => void stderr.write(`${text}\n`);
  const { values } = readArguments(args, {
    from: { type: 'string' },
    to: { type: 'string' },
    page: { type: 'string' },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(migrateUsage);
    return 0;
  }
  const from = required(values.from, '--from');
  const pageRecords = wholeNumber(values.page, '--page', 1, 5_000, 500);
  const mongodb = readDatabase(values.to);
  requirePrivate(from);
  const { migrateFolder } = await import('../migration/migrate-folder.ts');
  let differing: readonly CopyKind[];
  try {
    differing = await migrateFolder(from, mongodb, {
      pageRecords,
      onProgress: (progress) => say(renderProgress(progress)),
    });
  } catch (error) {
    if (error instanceof StoreStartError) throw new CommandError(error.message, 2);
    if (error instanceof Error && error.name.startsWith('Mongo')) {
      // The message of a MongoDB error may hold keys, which can identify people.
      throw new CommandError(
        `The database failed (${error.name}). Run the command again: it continues where it stopped.`,
      );
    }
    throw error;
  }
  if (differing.length > 0) {
    const which = differing.map((kind) => names[kind]).join(', ');
    throw new CommandError(
      `The database and the folder differ in: ${which}. No server starts on this database. Drop it and run the command again.`,
    );
  }
  say(`The copy is complete and identical: ${copyKinds.length} kinds of record compared by count and SHA-256.`);
  say(
    'Keep the keys in the folder. Set CPIS_SIGNING_KEY_FILE and CPIS_NOTIFICATION_KEYS_FILE to them on every server.',
  );
  say('Do not start a server on the folder again, because both stores would then send the same notifications.');
  return 0;
}

function readDatabase(to: string | undefined) {
  try {
    const { mongodb } = loadSettings({ ...process.env, ...defined({ CPIS_MONGODB_URL: to }) });
    if (mongodb !== undefined) return mongodb;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new CommandError(error.message, 2);
  }
  throw new CommandError('Set --to or CPIS_MONGODB_URL.', 2);
}

function renderProgress({ kind, step, records, of }: MigrationProgress): string {
  return step === 'copied' ? `${names[kind]}: ${records} of ${of} copied` : `${names[kind]}: ${records} verified`;
}
