import { X509Certificate } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { decodeProtectedHeader } from 'jose';
import t from 'tap';
import { changeSigningKeys } from '../../src/auth/rotate-signing-keys.ts';
import { findFreePort } from '../../src/net/find-free-port.ts';
import { isServerReady, startCpis } from '../../src/synthetic/cpis-process.ts';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { openCertificateAuthority, opensslMissing } from '../support/certificates.ts';
import { makeServerHome, startServerProcess } from '../support/server-process.ts';
import { waitUntil } from '../support/wait-until.ts';

t.test(
  'a second server on a data folder ends with a message, and SIGHUP reloads the registry without ending the server',
  async (t) => {
    const home = await makeServerHome();
    t.teardown(() => home.remove());
    const first = await startServerProcess(home);
    t.teardown(() => first.kill());
    const port = String(await findFreePort());
    const second = { ...home, origin: `http://127.0.0.1:${port}`, settings: { ...home.settings, CPIS_PORT: port } };
    const refused: unknown = await startServerProcess(second).catch((error: unknown) => error);
    t.match(refused, { message: /The data folder .* is in use by another process\.\n$/ });
    t.notMatch(refused, { message: /\bat .*\.ts:/ }, 'without a stack');
    process.kill(first.pid, 'SIGHUP');
    await waitUntil('the registry is reloaded', () => first.output().includes('registry reloaded'));
    t.ok(await isServerReady(home.origin));
    t.equal(await first.stop(), 0);
  },
);

t.test('SIGHUP takes rotated signing keys, and keeps those it has when the file cannot follow', async (t) => {
  const home = await makeServerHome();
  t.teardown(() => home.remove());
  const server = await startServerProcess(home);
  t.teardown(() => server.kill());
  const [client] = home.registry.authorities;
  if (client === undefined) throw new Error('no client');
  const askToken = () => openFhirClient(home.baseUrl, client).token();
  const statusOf = async (token: string) =>
    (await fetch(`${home.baseUrl}/Flag`, { headers: { authorization: `Bearer ${token}` } })).status;
  let reloads = 0;
  const reload = async (): Promise<void> => {
    reloads += 1;
    process.kill(server.pid, 'SIGHUP');
    await waitUntil('the reload', () => server.output().split('registry reloaded').length > reloads);
  };
  const keyFile = join(home.settings['CPIS_DATA_FOLDER'] ?? '', 'signing-key.json');
  const before = await askToken();
  t.equal(await statusOf(before), 200);
  const rotated = await changeSigningKeys(keyFile, { kind: 'rotate' });
  if (typeof rotated === 'string') throw new Error(rotated);
  const text = readFileSync(keyFile);
  await changeSigningKeys(keyFile, { kind: 'drop-old' });
  await reload();
  t.match(server.output(), /lacks the key .* take the new key first/, 'it would end what it signs now');
  t.equal(decodeProtectedHeader(await askToken()).kid, decodeProtectedHeader(before).kid);
  writeFileSync(keyFile, 'no keys');
  await reload();
  t.match(server.output(), /does not hold a private EC P-256 key/);
  t.equal(await statusOf(before), 200);
  writeFileSync(keyFile, text);
  await reload();
  const after = await askToken();
  t.equal(decodeProtectedHeader(after).kid, rotated[0]?.kid);
  t.strictSame([await statusOf(before), await statusOf(after)], [200, 200], 'the old key verifies');
  const jwks = await (await fetch(`${home.origin}/.well-known/jwks.json`)).json();
  t.match(jwks, { keys: rotated.map(({ kid }) => ({ kid })) });
  await changeSigningKeys(keyFile, { kind: 'drop-old' });
  await reload();
  t.strictSame([await statusOf(before), await statusOf(after)], [401, 200], 'a dropped key ends its tokens at once');
  t.equal(await server.stop(), 0);
});

t.test('SIGHUP takes a new TLS certificate for new connections', { skip: opensslMissing() }, async (t) => {
  const home = await makeServerHome();
  t.teardown(() => home.remove());
  const authority = openCertificateAuthority(home.folder);
  const [served, next] = [authority.issue('served'), authority.issue('next')];
  const port = Number(home.settings['CPIS_PORT']);
  const serialOf = () =>
    new Promise<string>((resolve, reject) => {
      const socket = connect(port, '127.0.0.1', { ca: authority.cert }, () => {
        resolve(socket.getPeerCertificate().serialNumber);
        socket.end();
      });
      socket.on('error', reject);
    });
  const server = await startCpis({
    args: ['serve'],
    env: {
      PATH: process.env['PATH'],
      ...home.settings,
      CPIS_TLS_CERT_FILE: served.certFile,
      CPIS_TLS_KEY_FILE: served.keyFile,
    },
    cwd: home.folder,
    isReady: () => serialOf().then(Boolean, () => false),
  });
  t.teardown(() => server.kill());
  const before = await serialOf();
  writeFileSync(served.certFile, next.cert);
  process.kill(server.pid, 'SIGHUP');
  await waitUntil('the refusal', () => server.output().includes('the TLS files have problems'));
  t.equal(await serialOf(), before, 'certificate and key do not belong together');
  writeFileSync(served.keyFile, next.key);
  process.kill(server.pid, 'SIGHUP');
  await waitUntil('the new certificate', async () => (await serialOf()) !== before);
  t.equal(await serialOf(), new X509Certificate(next.cert).serialNumber);
  t.equal(await server.stop(), 0);
});

t.test('a start that the machine does not allow ends with words that name the setting or the folder', async (t) => {
  const home = await makeServerHome();
  t.teardown(() => home.remove());
  const file = join(home.folder, 'a-file');
  writeFileSync(file, '', { mode: 0o600 });
  const damaged = join(home.folder, 'damaged');
  mkdirSync(damaged, { mode: 0o700 });
  writeFileSync(join(damaged, 'store.sqlite'), 'x'.repeat(5_000), { mode: 0o600 });
  const remote = {
    CPIS_HOST: '203.0.113.5',
    CPIS_DANGEROUSLY_ALLOW_PLAIN_HTTP: 'true',
    CPIS_PUBLIC_BASE_URL: 'https://cpis.example.org/FHIR/R4',
  };
  const busy = createServer().listen(Number(home.settings['CPIS_PORT']), '127.0.0.1');
  t.teardown(() => busy.close());
  const cases: readonly (readonly [Readonly<Record<string, string>>, RegExp])[] = [
    [{}, /CPIS_PORT: another process listens on port \d+ of 127\.0\.0\.1\./],
    [remote, /CPIS_HOST: this machine has no address 203\.0\.113\.5\./],
    [{ ...remote, CPIS_PORT: '0' }, /CPIS_HOST: this machine has no address 203\.0\.113\.5\./],
    [{ CPIS_DATA_FOLDER: join(file, 'data') }, /a-file\/data.* cannot be used: a part of its path is a file\./],
    [
      { CPIS_DATA_FOLDER: damaged },
      /The data folder .*damaged cannot be used: its store\.sqlite is no SQLite database/,
    ],
  ];
  for (const [settings, message] of cases) {
    const ended: unknown = await startServerProcess({
      ...home,
      // Not the address of the ready probe, so that only the end of the process ends the wait.
      origin: 'http://127.0.0.1:1',
      settings: { ...home.settings, ...settings },
    }).catch((error: unknown) => error);
    t.match(ended, { message });
    t.notMatch(ended, { message: /\bat .*\.ts:|node:internal/ }, 'without a stack');
  }
});
