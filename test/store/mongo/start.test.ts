/** Databases that a server may not start on, and what it says. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { MongoClient } from 'mongodb';
import t, { type Test } from 'tap';
import { openCollections } from '../../../src/store/mongo/encoding/documents.ts';
import { openMongoStore } from '../../../src/store/mongo/open-mongo-store.ts';
import { StoreStartError } from '../../../src/store/store-start-error.ts';
import { environmentWithoutSettings } from '../../../src/synthetic/cpis-process.ts';
import { audit, unit, write } from '../../contract/fixtures.ts';
import { openOwnMongoServer } from '../../support/mongo-server.ts';
import { makeServerHome, startServerProcess } from '../../support/server-process.ts';
import { openTestStore } from './open-test-store.ts';

const program = fileURLToPath(new URL('../../../bin/cpis.js', import.meta.url));

const folder = mkdtempSync(join(tmpdir(), 'cpis-mongo-start-'));
t.teardown(() => rmSync(folder, { recursive: true, force: true }));
const certificate = makeCertificate();
const keyFile = join(folder, 'cluster-key');
writeFileSync(keyFile, 'aKeyThatTheMembersOfTheSetShare', { mode: 0o600 });

/** Takes clients with and without TLS, and asks all of them for a user name and password. */
const server = await openOwnMongoServer(t, {
  args: [...['--keyFile', keyFile], ...['--tlsMode', 'allowTLS', '--tlsCertificateKeyFile', certificate.withKey]],
});
const database = `cpis-test-${process.pid}`;
await createUsers();

/** Makes a certificate for 127.0.0.1 that is its own authority. */
function makeCertificate(): { readonly withKey: string; readonly authority: string } {
  const [key, authority, withKey] = [join(folder, 'key.pem'), join(folder, 'cert.pem'), join(folder, 'both.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const names = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', authority];
  execFileSync('openssl', [...request, ...names], { stdio: 'ignore' });
  writeFileSync(withKey, readFileSync(key, 'utf8') + readFileSync(authority, 'utf8'), { mode: 0o600 });
  return { withKey, authority };
}

/** The first user may be created from this machine without authentication. */
async function createUsers(): Promise<void> {
  const anybody = new MongoClient(server.url);
  await anybody.db('admin').command({ createUser: 'root', pwd: 'r00t', roles: ['root'] });
  await anybody.close();
  const root = new MongoClient(server.url.replace('//', '//root:r00t@'));
  for (const [user, role] of [
    ['writer', 'readWrite'],
    ['reader', 'read'],
  ] as const) {
    await root.db('admin').command({ createUser: user, pwd: 's3cret', roles: [{ role, db: database }] });
  }
  await root.close();
}

/** Returns the connection string of the database for a user. */
function urlOf(user: string, query = ''): string {
  const url = new URL(server.url.replace('//', `//${user}@`));
  url.pathname = `/${database}`;
  return `${url.href}&authSource=admin${query}`;
}

const soonMs = 4_000;

/**
 * Returns what the store refuses to start with. No message holds the user name or password. What only shows when the time
 * is up is given `soonMs`.
 */
async function refusalOf(url: string, timeoutMs = 60_000): Promise<StoreStartError> {
  const opening = openMongoStore({ url, timeoutMs, onError: () => undefined });
  const error = await opening.then(
    (store) => store.close(),
    (reason: unknown) => reason,
  );
  if (!(error instanceof StoreStartError)) throw new Error(`not a refusal: ${String(error)}`);
  if (/s3cret|writer|mongodb:\/\//.test(error.message)) throw new Error('a secret is disclosed');
  return error;
}

await t.test('a user with readWrite on the database is enough; others are refused in words', async (test) => {
  const { store } = await openTestStore(test, server, { url: urlOf('writer:s3cret') });
  test.same(await store.commit(unit({ writes: [write('f1')], audits: [audit('a1')] })), { kind: 'committed' });
  for (const user of ['writer:wr0ng', 'nobody:s3cret']) {
    const refused = await refusalOf(urlOf(user));
    test.match(refused, { message: /refuses the user name and password/, mayPass: false });
  }
  test.match(await refusalOf(urlOf('reader:s3cret')), { message: /lacks rights/, mayPass: false });
  test.match(await refusalOf(server.newDatabaseUrl()), { message: /lacks rights/, mayPass: false });
});

await t.test('TLS: a certificate that is not known is refused, a known one is taken', async (test) => {
  test.match(await refusalOf(urlOf('writer:s3cret', '&tls=true'), soonMs), { message: /^TLS with MongoDB failed/ });
  const noFile = await refusalOf(urlOf('writer:s3cret', '&tls=true&tlsCAFile=/nowhere/ca.pem'));
  test.match(noFile, { message: /cannot be read/, mayPass: false });
  const known = `&tls=true&tlsCAFile=${encodeURIComponent(certificate.authority)}`;
  const { store } = await openTestStore(test, server, { url: urlOf('writer:s3cret', known) });
  test.equal(store.ready, true);
});

await t.test('a connection string that cannot be used is refused in words', async (test) => {
  const nobody = await refusalOf('mongodb://writer:s3cret@127.0.0.1:9/cpis', soonMs);
  test.match(nobody, { message: /cannot be reached/, mayPass: true });
  const wrong = await refusalOf('mongodb://writer:s3cret@127.0.0.1:9/cpis?nonsense=1');
  test.match(wrong, { message: /not a MongoDB connection string/, mayPass: false });
});

await t.test('a host whose name holds "auth" is not taken for a wrong password', async (test) => {
  const refused = await refusalOf('mongodb://writer:s3cret@auth-db.invalid/cpis?tls=true', 500);
  test.match(refused, { message: /cannot be reached/, mayPass: true });
});

await t.test('a database that others on the network could read or stand in for is refused', async (test) => {
  const remote = 'mongodb://writer:s3cret@db.example.org,127.0.0.1/cpis';
  test.match(await refusalOf(remote, 500), { message: /set tls=true/, mayPass: false });
  for (const option of ['tlsInsecure', 'tlsAllowInvalidCertificates', 'tlsAllowInvalidHostnames']) {
    const refused = await refusalOf(urlOf('writer:s3cret', `&tls=true&${option}=true`));
    test.match(refused, { message: /any server could answer/, mayPass: false }, option);
  }
  const known = `&tls=true&tlsAllowInvalidCertificates=true`;
  const { store } = await openTestStore(test, server, { url: urlOf('writer:s3cret', known), allowUnprotected: true });
  test.equal(store.ready, true);
});

await t.test('the connection string cannot say how durable writes are', async (test) => {
  for (const said of ['journal=false', 'readConcernLevel=local', 'readPreference=secondary', 'retryWrites=false']) {
    test.match((await refusalOf(urlOf('writer:s3cret', `&${said}`))).message, /decided by the store|do not fit/, said);
  }
});

await t.test('a database of another schema version is refused', async (test) => {
  const url = urlOf('writer:s3cret');
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  const { schema } = openCollections(client.db());
  await schema.updateOne({ _id: 'store' }, { $set: { version: 99 } });
  test.match((await refusalOf(url)).message, /schema version 99, newer than 3/);
  await schema.updateOne({ _id: 'store' }, { $set: { version: 1 } });
  test.match((await refusalOf(url)).message, /schema version 1, which was only written before the first release/);
  await schema.updateOne({ _id: 'store' }, { $set: { version: 3 } });
});

await t.test('a standalone server is refused, with how to make it a replica set', async (test) => {
  const standalone = await openOwnMongoServer(test, { standalone: true });
  const url = standalone.newDatabaseUrl();
  test.match(await refusalOf(url), {
    message: /standalone server[\s\S]*--replSet rs0[\s\S]*rs\.initiate\(\)/,
    mayPass: false,
  });
  const client = new MongoClient(url);
  test.teardown(() => client.close());
  test.same(await client.db().listCollections().toArray(), [], 'and nothing was written');
  const withoutTls = await refusalOf(`${url}?tls=true`, soonMs);
  test.match(withoutTls.message, /^TLS with MongoDB failed|closes the connection before TLS/);
});

await t.test('serve: a database that fails in the middle of a start ends it in words, with status 2', async (test) => {
  const failing = await openOwnMongoServer(test);
  const url = failing.newDatabaseUrl();
  const namespace = `${new URL(url).pathname.slice(1)}.delivery_count`;
  const stop = await failing.failCommand({ failCommands: ['find'], namespace, errorCode: 11_600 }, { skip: 0 });
  const { code, output } = await serve(test, url);
  await stop();
  test.equal(code, 2);
  test.match(output, /The store did not answer in time while the server started/);
  test.notMatch(output, /at .*\.ts:/, 'without a stack');
});

/** Runs `cpis serve` until it ends. */
async function serve(test: Test, url: string): Promise<{ code: number; output: string }> {
  const home = await makeServerHome({ settings: { CPIS_MONGODB_URL: url, CPIS_MONGODB_TIMEOUT_MS: '60000' } });
  test.teardown(() => home.remove());
  const env = { ...environmentWithoutSettings(), ...home.settings };
  const child = spawn(process.execPath, [program, 'serve'], { env });
  test.teardown(() => child.kill('SIGKILL'));
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = await once(child, 'close');
  return { code, output };
}

await t.test('serve: a refusal is printed without the secret, with status 2; a right one starts', async (test) => {
  const { code, output } = await serve(test, urlOf('writer:wr0ng'));
  test.equal(code, 2);
  test.match(output, /refuses the user name and password/);
  test.notMatch(output, /wr0ng|writer|mongodb:\/\//);
  const known = `&tls=true&tlsCAFile=${encodeURIComponent(certificate.authority)}`;
  const home = await makeServerHome({ settings: { CPIS_MONGODB_URL: urlOf('writer:s3cret', known) } });
  test.teardown(() => home.remove());
  const running = await startServerProcess(home);
  test.equal(await running.stop(), 0);
});
