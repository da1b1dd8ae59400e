/** What is at rest is for its owner alone: every file that is made, in a new folder and in one that was there. */
import { chmodSync, lstatSync, mkdirSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { openSigningKey } from '../../src/auth/signing-key.ts';
import { runCommand } from '../../src/cli/main.ts';
import { openInbox } from '../../src/cli/receive/inbox.ts';
import { openOutput } from '../../src/cli/receive/open-output.ts';
import { openJournal } from '../../src/cli/submit/journal.ts';
import { describeExposure, requirePrivate } from '../../src/files/exposure.ts';
import { createPrivateFile, replacePrivateFile } from '../../src/files/private-file.ts';
import { openNotificationKeys } from '../../src/notification/outbound-http/notification-keys.ts';
import { openRegistry } from '../../src/registry/open-registry.ts';
import { buildLogger } from '../../src/server/logger.ts';
import { openServer } from '../../src/server/open-server.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import { makeSyntheticRegistry } from '../../src/synthetic/synthetic-registry.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

// The commands below read the settings of this process, which refuse a variable that they do not know.
delete process.env['CPIS_TEST_MONGODB_URL'];

const modeOf = (path: string): string => (statSync(path).mode & 0o777).toString(8);

/** Lists what is in a folder and below that anybody but its owner may use. */
function exposedBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter(
    (name) => (lstatSync(join(folder, name)).mode & 0o077) !== 0,
  );
}

const onFatal = (error: Error): void => {
  throw error;
};

// What a service manager may set; the code must not rely on another one.
process.umask(0o000);

t.test(
  'the embedded store makes private files, and takes the rights of others from those that were there',
  async (t) => {
    const folder = join(makeTempFolder(t), 'deep', 'data');
    const store = await openSqliteStore({ folder, onFatal });
    t.strictSame(readdirSync(folder).sort(), [
      'lock',
      'lock-journal',
      'store.sqlite',
      'store.sqlite-shm',
      'store.sqlite-wal',
    ]);
    t.equal(modeOf(folder), '700');
    t.equal(modeOf(join(folder, '..')), '700');
    t.strictSame(exposedBelow(folder), []);
    await store.close();
    for (const name of readdirSync(folder)) chmodSync(join(folder, name), 0o644);
    writeFileSync(join(folder, 'store.sqlite-wal'), '', { mode: 0o666 });
    const again = await openSqliteStore({ folder, onFatal });
    t.strictSame(exposedBelow(folder), []);
    await again.close();
  },
);

t.test('keys, results, journals, inboxes and outputs are private', async (t) => {
  const folder = makeTempFolder(t);
  const path = (name: string): string => join(folder, name);
  for (const name of ['journal.part', 'inbox', 'output.csv', 'results.csv'])
    writeFileSync(path(name), '', { mode: 0o666 });
  await openSigningKey(path('keys/signing-key.json'));
  await openNotificationKeys(path('keys/notification-keys.json'));
  createPrivateFile(path('new/client.json'), '{}');
  replacePrivateFile(path('results.csv'), 'x');
  openJournal(path('journal.part'), 'identity').close();
  const inbox = openInbox(path('inbox'), { fetches: false });
  openOutput(inbox, 'csv', path('output.csv')).close();
  t.strictSame(exposedBelow(folder), []);
  inbox.close();
});

t.test(
  'a folder, key or registry with secrets that others can read is refused, with the command that mends it',
  async (t) => {
    const folder = makeTempFolder(t);
    const key = join(folder, 'a key.json');
    await openSigningKey(key);
    for (const mode of [0o644, 0o640, 0o604, 0o620, 0o602, 0o666, 0o755]) {
      chmodSync(key, mode);
      await t.rejects(openSigningKey(key), { name: 'ExposedFileError', message: /Run: chmod 600 '.*a key\.json'$/ });
      await t.rejects(openNotificationKeys(key), { name: 'ExposedFileError' });
    }
    chmodSync(key, 0o400);
    await t.resolves(openSigningKey(key), 'read-only is private too');
    t.equal(describeExposure(join(folder, 'absent')), undefined);
    t.doesNotThrow(() => requirePrivate(folder));
    chmodSync(folder, 0o750);
    t.match(describeExposure(folder), /\(mode 0750\)\. Run: chmod 700 \S+$/);
    chmodSync(folder, 0o700);

    const { json } = await makeSyntheticRegistry({ authorityNames: ['Northmoor'], careProviderNames: ['Hospital'] });
    const file = join(folder, 'registry.json');
    const options = { nowMs: Date.now };
    writeFileSync(file, JSON.stringify(json), { mode: 0o644 });
    t.doesNotThrow(() => openRegistry(file, options), 'without secrets');
    const [first, ...rest] = json.clients as readonly object[];
    const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`;
    writeFileSync(file, JSON.stringify({ ...json, clients: [{ ...first, webhookSecrets: [secret] }, ...rest] }));
    t.throws(() => openRegistry(file, options), /webhookSecrets: .*Run: chmod 600/);
    chmodSync(file, 0o600);
    t.doesNotThrow(() => openRegistry(file, options));
  },
);

t.test(
  'the server refuses an exposed data folder and TLS key; commands refuse an exposed key with status 2',
  async (t) => {
    const folder = makeTempFolder(t);
    const data = join(folder, 'data');
    const registryFile = join(folder, 'registry.json');
    const { json } = await makeSyntheticRegistry({ authorityNames: ['Northmoor'], careProviderNames: ['Hospital'] });
    writeFileSync(registryFile, JSON.stringify(json), { mode: 0o644 });
    mkdirSync(data, { mode: 0o755 });
    const env = { CPIS_PORT: '0', CPIS_DATA_FOLDER: data, CPIS_REGISTRY_FILE: registryFile };
    const start = (more: Readonly<Record<string, string>> = {}) =>
      openServer(loadSettings({ ...env, ...more }), { logger: buildLogger({ level: 'silent' }), onFatal });
    await t.rejects(start(), { name: 'ExposedFileError', message: new RegExp(`^${data} .*Run: chmod 700 ${data}$`) });
    t.strictSame(readdirSync(data), [], 'before anything was made in it');
    chmodSync(data, 0o700);
    const tlsKey = join(folder, 'tls.key');
    writeFileSync(tlsKey, 'key', { mode: 0o644 });
    await t.rejects(start({ CPIS_TLS_CERT_FILE: tlsKey, CPIS_TLS_KEY_FILE: tlsKey }), { name: 'ExposedFileError' });
    const server = await start();
    t.strictSame(exposedBelow(data), []);
    await server.close();
    t.strictSame(exposedBelow(data), []);

    const output: string[] = [];
    const io = {
      stdin: process.stdin,
      stdout: { write: () => true },
      stderr: { write: (text: string) => output.push(text) },
    };
    writeFileSync(join(folder, 'client.json'), '{"d":"secret"}', { mode: 0o644 });
    const connection = [
      '--server',
      'https://cpis.example.org',
      '--client-id',
      'c',
      '--key',
      join(folder, 'client.json'),
    ];
    t.equal(await runCommand(['submit', registryFile, ...connection, '--reference-system', 'urn:x:y'], io), 2);
    t.match(output.join(''), /--key: .*others can use it \(mode 0644\)\. Run: chmod 600/);
    chmodSync(data, 0o711);
    t.equal(await runCommand(['migrate', '--from', data, '--to', 'mongodb://127.0.0.1:1/x'], io), 2);
    t.match(output.join(''), /Run: chmod 700/);
    writeFileSync(join(folder, 'n.json'), '{}', { mode: 0o644 });
    t.equal(await runCommand(['keygen', '--notification-keys', join(folder, 'n.json')], io), 2);
  },
);
