/** Rotation of the signing keys, and what a lost key does. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { decodeProtectedHeader } from 'jose';
import t from 'tap';
import { openSigningKey } from '../../src/auth/signing-key.ts';
import { readSigningJwks } from '../../src/auth/signing-key-file.ts';
import { buildJwks } from '../../src/auth/smart-configuration.ts';
import { runCommand } from '../../src/cli/main.ts';
import { buildLogger } from '../../src/server/logger.ts';
import { openServer } from '../../src/server/open-server.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { makeSyntheticRegistry } from '../../src/synthetic/synthetic-registry.ts';
import { makeTempFolder } from '../support/temp-folder.ts';
import { waitUntil } from '../support/wait-until.ts';

async function runKeys(file: string, ...args: readonly string[]) {
  let out = '';
  let err = '';
  const io = {
    stdin: process.stdin,
    stdout: { write: (text: string) => (out += text) },
    stderr: { write: (text: string) => (err += text) },
  };
  const code = await runCommand(['keys', '--file', file, ...args], io);
  return { code, out, err, kids: out.split('\n').flatMap((line) => line.split(' ')[0] || []) };
}

t.test('cpis keys shows the keys, and adds, uses and drops them; every key verifies, the first signs', async (t) => {
  const file = join(makeTempFolder(t), 'signing-key.json');
  t.match(await runKeys(file), { code: 1, err: /There is no key file/ });
  t.match(await runKeys(file, '--rotate'), { code: 1, err: /makes it at its first start/ });
  const first = await openSigningKey(file);
  t.match(await runKeys(file), { code: 0, kids: [first.kid], out: /signs and seals .* made \d{4}-\d\d-\d\d\n$/ });
  const { kids: rotated } = await runKeys(file, '--rotate');
  t.equal(rotated[1], first.kid);
  const both = await openSigningKey(file);
  t.equal(both.kid, rotated[0]);
  t.strictSame(
    both.older.map(({ kid }) => kid),
    [first.kid],
  );
  t.strictSame(
    buildJwks(both).keys.map(({ kid }) => kid),
    rotated,
  );
  t.strictSame(both.older[0]?.sealKey, first.sealKey, 'the old key still opens');
  const { kids: added } = await runKeys(file, '--add');
  t.strictSame(added.slice(0, 2), rotated);
  const { kids: used } = await runKeys(file, '--use', added[2] ?? '');
  t.strictSame(used, [added[2], ...rotated]);
  t.match(await runKeys(file, '--use', 'nobody'), { code: 1, err: /no key with this kid/ });
  t.match(await runKeys(file, '--add', '--drop-old'), { code: 2, err: /Choose one of/ });
  t.match(await runKeys(file, '--drop-old'), { code: 0, kids: [added[2]] });
  t.equal(statSync(file).mode & 0o777, 0o600);
  for (let index = 1; index < 8; index++) await runKeys(file, '--add');
  t.match(await runKeys(file, '--add'), { code: 1, err: /maximum/ });
  t.equal((await readSigningJwks(file))?.length, 8);
  const { d, x, y, kty, crv } = (await readSigningJwks(file))?.[0] ?? {};
  writeFileSync(file, JSON.stringify({ kty, crv, x, y, d }));
  t.equal((await openSigningKey(file)).kid, added[2], 'a file of an earlier version holds one key');
  for (const text of [
    '{"keys":[]}',
    '{"keys":[{}]}',
    'no',
    JSON.stringify({
      keys: [
        { kty, crv, x, y, d },
        { kty, crv, x, y, d },
      ],
    }),
  ]) {
    writeFileSync(file, text);
    t.match(await runKeys(file), { code: 2, err: /does not hold a private EC P-256 key/ }, text.slice(0, 20));
    await t.rejects(openSigningKey(file), /does not hold a private EC P-256 key/);
  }
  t.notMatch((await runKeys(file)).err, /"d"/);
});

t.test('kill -9 in the middle of a rotation leaves the old file or the new one', async (t) => {
  const folder = makeTempFolder(t);
  const file = join(folder, 'signing-key.json');
  const { kid } = await openSigningKey(file);
  const program = fileURLToPath(new URL('../../bin/cpis.js', import.meta.url));
  for (const waitMs of [150, 220, 300, 400]) {
    const before = (await readSigningJwks(file)) ?? [];
    const child = spawn(process.execPath, [program, 'keys', '--file', file, '--rotate'], { stdio: 'ignore' });
    const closed = once(child, 'close');
    await sleep(waitMs);
    child.kill('SIGKILL');
    await closed;
    const after = (await readSigningJwks(file)) ?? [];
    t.ok(after.length - before.length <= 1);
    t.strictSame(after.slice(after.length - before.length), before, `killed after ${waitMs} ms`);
    t.ok(after.some((key) => key.kid === kid));
  }
  t.notOk(readdirSync(folder).some((name) => (statSync(join(folder, name)).mode & 0o077) !== 0));
});

async function openHome(t: { teardown(close: () => unknown): unknown }) {
  const folder = makeTempFolder(t);
  const registry = await makeSyntheticRegistry({
    authorityNames: ['Northmoor'],
    careProviderNames: ['Hospital'],
    subscriptionOrigins: ['http://127.0.0.1:20999'],
  });
  const registryFile = join(folder, 'registry.json');
  writeFileSync(registryFile, JSON.stringify(registry.json), { mode: 0o600 });
  const [client] = registry.authorities;
  if (client === undefined) throw new Error('no authority');
  const keyFile = join(folder, 'data', 'signing-key.json');
  const start = async (more: Readonly<Record<string, string>> = {}) => {
    const settings = loadSettings({
      CPIS_PORT: '0',
      CPIS_DATA_FOLDER: join(folder, 'data'),
      CPIS_REGISTRY_FILE: registryFile,
      CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
      ...more,
    });
    const server = await openServer(settings, {
      logger: buildLogger({ level: 'silent' }),
      onFatal: (error) => {
        throw error;
      },
    });
    t.teardown(() => server.close());
    const connect = () => openFhirClient(server.baseUrl, client);
    return { server, la: connect(), connect };
  };
  return { folder, keyFile, start };
}

const subscription = {
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'Accesses to own plans',
  criteria: 'AuditEvent?subtype=search-type',
  channel: {
    type: 'rest-hook',
    endpoint: 'http://127.0.0.1:20999/in',
    payload: 'application/fhir+json',
    header: ['Authorization: Bearer s3cret'],
  },
};

interface Shown {
  readonly id: string;
  readonly status: string;
  readonly error?: string;
  readonly meta: { readonly versionId: string };
}

t.test('after a rotation old tokens are good, and headers are sealed again in the background', async (t) => {
  const { keyFile, start } = await openHome(t);
  const one = await start();
  const created = await one.la.request<Shown>('POST', 'Subscription', subscription, {
    prefer: 'return=representation',
  });
  t.equal(created.status, 201, JSON.stringify(created.body));
  const { id } = created.body;
  const statusOf = async (la: typeof one.la) => (await la.request<Shown>('GET', `Subscription/${id}`)).body;
  await waitUntil('it is decided', async () => (await statusOf(one.la)).status !== 'requested');
  const settled = await statusOf(one.la);
  const oldToken = await one.la.token();
  await one.server.close();
  const { kids } = await runKeys(keyFile, '--rotate');
  const two = await start({ CPIS_PORT: new URL(one.server.origin).port });
  t.equal(decodeProtectedHeader(await two.la.token()).kid, kids[0]);
  const withOld = await fetch(`${two.server.baseUrl}/Subscription/${id}`, {
    headers: { authorization: `Bearer ${oldToken}` },
  });
  t.equal(withOld.status, 200, 'a token of the old key');
  const jwks = (await (await fetch(`${two.server.origin}/.well-known/jwks.json`)).json()) as {
    readonly keys: readonly { readonly kid: string }[];
  };
  t.strictSame(
    jwks.keys.map(({ kid }) => kid),
    kids,
  );
  await waitUntil(
    'it is sealed again',
    async () => Number((await statusOf(two.la)).meta.versionId) > Number(settled.meta.versionId),
  );
  t.match(await statusOf(two.la), { status: settled.status, error: settled.error });
  await two.server.close();
  const [, old] = (await readSigningJwks(keyFile)) ?? [];
  await runKeys(keyFile, '--drop-old');
  t.ok(old);
  const three = await start();
  const kept = await statusOf(three.la);
  t.equal(kept.status, settled.status, 'without the old key');
  t.notMatch(kept.error ?? '', /header/);
  await three.server.close();
});

t.test('a reload takes new keys while the server runs, and seals headers again', async (t) => {
  const { keyFile, start } = await openHome(t);
  const { server, la, connect } = await start();
  const { body } = await la.request<Shown>('POST', 'Subscription', subscription, { prefer: 'return=representation' });
  const shown = async (by = la) => (await by.request<Shown>('GET', `Subscription/${body.id}`)).body;
  await waitUntil('it is decided', async () => (await shown()).status !== 'requested');
  const settled = await shown();
  const cursorPage = await la.request<{
    readonly link: readonly { readonly relation: string; readonly url: string }[];
  }>('GET', 'Organization?_count=1');
  t.strictSame(await server.reloadSigningKeys(), [], 'nothing has changed');
  t.equal((await shown()).meta.versionId, settled.meta.versionId);
  await runKeys(keyFile, '--rotate');
  // Two at once end with the keys of the file.
  t.strictSame(await Promise.all([server.reloadSigningKeys(), server.reloadSigningKeys()]), [[], []]);
  await waitUntil(
    'it is sealed again',
    async () => Number((await shown()).meta.versionId) > Number(settled.meta.versionId),
  );
  t.match(await shown(), { status: settled.status, error: settled.error });
  const next = cursorPage.body.link.find(({ relation }) => relation === 'next')?.url;
  t.equal((await la.request('GET', `${next}`.slice(server.baseUrl.length + 1))).status, 200, 'a cursor of the old key');
  await runKeys(keyFile, '--drop-old');
  t.strictSame(await server.reloadSigningKeys(), []);
  t.equal((await la.request('GET', 'Subscription')).status, 401, 'tokens of the dropped key');
  const again = connect();
  t.equal((await shown(again)).status, settled.status);
  await runKeys(keyFile, '--rotate');
  await runKeys(keyFile, '--drop-old');
  t.match(await server.reloadSigningKeys(), [/lacks the key/]);
  unlinkSync(keyFile);
  t.match(await server.reloadSigningKeys(), [/does not exist/]);
  t.equal((await shown(again)).status, settled.status, 'the server keeps the keys it has');
  await server.close();
});

t.test('a key that is missing while headers are sealed ends the start in words, and no key is made', async (t) => {
  const { keyFile, start } = await openHome(t);
  const one = await start();
  const { body } = await one.la.request<Shown>('POST', 'Subscription', subscription, {
    prefer: 'return=representation',
  });
  await waitUntil(
    'it is decided',
    async () => (await one.la.request<Shown>('GET', `Subscription/${body.id}`)).body.status !== 'requested',
  );
  await one.server.close();
  const text = readFileSync(keyFile, 'utf8');
  unlinkSync(keyFile);
  await t.rejects(start(), {
    name: 'SettingsError',
    message: /CPIS_SIGNING_KEY_FILE: the file .* does not exist, but the headers of 1 Subscription .*Restore.*backup/s,
  });
  t.throws(() => statSync(keyFile), 'no key was made');
  const stranger = join(keyFile, '..', 'stranger.json');
  await openSigningKey(stranger);
  await t.rejects(start({ CPIS_SIGNING_KEY_FILE: stranger }), {
    message: /none of the keys in .*stranger\.json opens/,
  });
  writeFileSync(keyFile, text, { mode: 0o600 });
  const again = await start();
  t.equal((await again.la.request('GET', `Subscription/${body.id}`)).status, 200);
  await again.server.close();
  unlinkSync(keyFile);
  const lost = await start({ CPIS_DANGEROUSLY_START_WITHOUT_SEALING_KEY: 'true' });
  const shown = async () => (await lost.la.request<Shown>('GET', `Subscription/${body.id}`)).body;
  await waitUntil('it is in error', async () => (await shown()).status === 'error');
  t.match((await shown()).error, /key/);
  await lost.server.close();
});

t.test('a folder without sealed headers needs no key, and gets one', async (t) => {
  const { keyFile, start } = await openHome(t);
  const one = await start();
  await one.server.close();
  unlinkSync(keyFile);
  const two = await start();
  t.equal((await two.la.request('GET', 'Organization/E99000001')).status, 200);
  await two.server.close();
  t.ok(statSync(keyFile));
});
