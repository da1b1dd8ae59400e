import { changeSigningKeys, type KeyChange } from '../auth/rotate-signing-keys.ts';
import { readSigningJwks, type SigningJwk } from '../auth/signing-key-file.ts';
import { loadSettings, SettingsError } from '../settings/settings.ts';
import { CommandError, type CommandIo, readArguments, UsageError } from './terminal/command-line.ts';

const usage = `Usage: cpis keys [--file FILE] [--rotate | --add | --use KID | --drop-old]

For operators: shows the keys of the server, or changes them. The first key signs access tokens and seals the headers of
Subscriptions; all keys verify and open. A change applies when a server is restarted. See docs/keys.md.

  --file FILE  the key file (default: CPIS_SIGNING_KEY_FILE, or signing-key.json in CPIS_DATA_FOLDER)
  --rotate     make a new key the first one
  --add        add a new key that only verifies and opens; for several servers, before --use
  --use KID    make this key the first one
  --drop-old   remove all keys but the first

Exit status:
  0  done
  1  the change is not possible
  2  wrong usage, or the file cannot be used
`;

/** Runs `cpis keys`. */
export async function keys(args: readonly string[], { stdout, stderr }: CommandIo): Promise<number> {
  const { values } = readArguments(args, {
    file: { type: 'string' },
    rotate: { type: 'boolean', default: false },
    add: { type: 'boolean', default: false },
    use: { type: 'string' },
    'drop-old': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  });
  if (values.help) {
    stdout.write(usage);
    return 0;
  }
  const changes: readonly KeyChange[] = [
    ...(values.rotate ? [{ kind: 'rotate' } as const] : []),
    ...(values.add ? [{ kind: 'add' } as const] : []),
    ...(values.use === undefined ? [] : [{ kind: 'use', kid: values.use } as const]),
    ...(values['drop-old'] ? [{ kind: 'drop-old' } as const] : []),
  ];
  if (changes.length > 1) throw new UsageError('Choose one of --rotate, --add, --use and --drop-old.');
  const file = values.file ?? settingsFile();
  const [change] = changes;
  const result = change === undefined ? await show(file) : await changeOrFail(file, change);
  stdout.write(result.map(describe).join(''));
  if (change !== undefined) stderr.write('Restart each server to use the keys.\n');
  return 0;
}

async function show(file: string): Promise<readonly SigningJwk[]> {
  const found = await readSigningJwks(file);
  if (found === undefined) {
    throw new CommandError(`There is no key file ${file}. The server makes it at its first start.`);
  }
  return found;
}

async function changeOrFail(file: string, change: KeyChange): Promise<readonly SigningJwk[]> {
  const result = await changeSigningKeys(file, change);
  if (typeof result === 'string') throw new CommandError(result);
  return result;
}

function describe({ kid, iat }: SigningJwk, position: number): string {
  const does = position === 0 ? 'signs and seals   ' : 'verifies and opens';
  return `${kid}  ${does}  made ${iat === undefined ? 'before 0.1.0' : new Date(iat * 1000).toISOString().slice(0, 10)}\n`;
}

function settingsFile(): string {
  try {
    return loadSettings(process.env).signingKeyFile;
  } catch (error) {
    if (error instanceof SettingsError) throw new CommandError(error.message, 2);
    throw error;
  }
}
