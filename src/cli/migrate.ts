import { defined } from '../fhir/defined.ts';
import type { MigrationProgress } from '../migration/migrate-store.ts';
import { loadSettings, SettingsError } from '../settings/settings.ts';
import { type CopyKind, copyKinds } from '../store/store-copy.ts';
import { StoreStartError } from '../store/store-start-error.ts';
import { CommandError, readArguments, required, wholeNumber } from './command-line.ts';

const migrateUsage = `Usage: cpis migrate --from FOLDER [--to mongodb://HOST/DATABASE] [--page N]

Copies everything that the data folder of an embedded store holds into an empty MongoDB database, and compares both at the
end. No server may run on either. When it was cut off, run it again: it goes on where it was.

  --from FOLDER  the data folder
  --to URL       the database; unless given, that of CPIS_MONGODB_URL, where others on this machine do not see its password
  --page N       records written together, 1 to 5000, 500 unless given

CPIS_MONGODB_TIMEOUT_MS and CPIS_MONGODB_DANGEROUSLY_ALLOW_STANDALONE hold as for the server.
Exit status: 0 complete and the same; 1 not complete, or not the same; 2 wrong usage, or a folder or database that cannot be
used for it.
`;

const names: Readonly<Record<CopyKind, string>> = {
  resource: 'resources',
  audit: 'audit events',
  usedOnce: 'single-use keys',
  deliveryCount: 'counts of deliveries',
  breach: 'breaches of delivery',
  subscriptionEvent: 'events of Subscriptions',
  acknowledged: 'acknowledgements of Subscriptions',
};

const say = (text: string): void => void process.stderr.write(`${text}\n`);

/** `cpis migrate`: see the usage above. */
export async function migrate(args: readonly string[]): Promise<void> {
  const { values } = readArguments(args, {
    from: { type: 'string' },
    to: { type: 'string' },
    page: { type: 'string' },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    process.stdout.write(migrateUsage);
    return;
  }
  const from = required(values.from, '--from');
  const pageRecords = wholeNumber(values.page, '--page', 1, 5_000, 500);
  const mongodb = readDatabase(values.to);
  const { migrateFolder } = await import('../migration/migrate-folder.ts');
  let differing: readonly CopyKind[];
  try {
    differing = await migrateFolder(from, mongodb, { pageRecords, onProgress: tell });
  } catch (error) {
    if (error instanceof StoreStartError) throw new CommandError(error.message, 2);
    if (error instanceof Error && error.name.startsWith('Mongo')) {
      // Its message may name keys, and so people.
      throw new CommandError(`The database failed (${error.name}). Run the command again: it goes on where it was.`);
    }
    throw error;
  }
  if (differing.length > 0) {
    const which = differing.map((kind) => names[kind]).join(', ');
    throw new CommandError(
      `What the database holds is not what the folder holds: ${which}. No server will start on it: drop it and begin anew.`,
    );
  }
  say(`Everything is there and the same: ${copyKinds.length} kinds compared by count and SHA-256.`);
  say('Keep the keys of the folder: CPIS_SIGNING_KEY_FILE and CPIS_NOTIFICATION_KEYS_FILE name them for every server.');
  say('Do not start a server on the folder again: both would deliver.');
}

function readDatabase(to: string | undefined) {
  try {
    const { mongodb } = loadSettings({ ...process.env, ...defined({ CPIS_MONGODB_URL: to }) });
    if (mongodb !== undefined) return mongodb;
  } catch (error) {
    if (!(error instanceof SettingsError)) throw error;
    throw new CommandError(error.message, 2);
  }
  throw new CommandError('--to, or CPIS_MONGODB_URL, is needed.', 2);
}

function tell({ kind, step, records, of }: MigrationProgress): void {
  say(step === 'copied' ? `${names[kind]}: ${records} of ${of} copied` : `${names[kind]}: ${records} verified`);
}
