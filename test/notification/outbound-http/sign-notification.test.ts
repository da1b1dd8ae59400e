import { createPublicKey, verify } from 'node:crypto';
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Webhook } from 'standardwebhooks';
import t, { type Test } from 'tap';
import {
  openNotificationKeys,
  rotateNotificationKeys,
} from '../../../src/notification/outbound-http/notification-keys.ts';
import { openSender } from '../../../src/notification/outbound-http/sender.ts';
import { buildSignNotification } from '../../../src/notification/outbound-http/sign-notification.ts';
import { readPublicKeys, verifyNotification } from '../../../src/notification/outbound-http/verify-notification.ts';
import { parseRegistry } from '../../../src/registry/parse-registry.ts';
import { parseWebhookSecret } from '../../../src/registry/parse-webhook-secret.ts';
import { openReceiver } from '../../support/receiver.ts';
import { runCommandHere, runCpis } from '../../support/run-cpis.ts';
import { openWorld } from '../../support/running-server.ts';
import { freshPlan, submit } from '../../support/submissions.ts';
import { makeTempFolder } from '../../support/temp-folder.ts';

const secretOf = (fill: number, bytes = 32): string => `whsec_${Buffer.alloc(bytes, fill).toString('base64')}`;
const decode = (text: string): Buffer => parseWebhookSecret(text) ?? Buffer.alloc(0);

function folderOf(t: Test): string {
  const folder = makeTempFolder(t);
  return folder;
}

type Received = Awaited<ReturnType<typeof openReceiver>>['received'][number];

const headersOf = ({ headers }: Received): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));

/** The schemes of its signatures, in order. */
const schemesOf = (request: Received): string[] =>
  (headersOf(request)['webhook-signature'] ?? '').split(' ').map((each) => each.split(',')[0] ?? '');

t.test('notifications are verified by another library, by the documented code and by the command', async (t) => {
  const folder = folderOf(t);
  const endpoint = await openReceiver();
  t.teardown(() => endpoint.close());
  let answered = 0;
  endpoint.behave(() => ({ kind: 'answer', status: answered++ === 0 ? 503 : 200 }));
  const world = await openWorld(t, { subscriptionOrigins: [endpoint.origin] });
  const [old, next] = [secretOf(1), secretOf(2, 64)];
  const [client] = world.registry.json.clients as [{ webhookSecrets?: string[] }];
  client.webhookSecrets = [old, next];
  writeFileSync(join(world.folder, 'registry.json'), JSON.stringify(world.registry.json));
  t.strictSame(await world.server.reloadRegistry(), []);

  const [la] = world.authorities;
  const [epr] = world.careProviders;
  if (la === undefined || epr === undefined) throw new Error('the world is incomplete');
  const plan = freshPlan({ family: 'Ó Søndergård' });
  await submit(la, plan);
  const channel = { type: 'rest-hook', endpoint: `${endpoint.origin}/in`, payload: 'application/fhir+json' };
  const subscription = {
    resourceType: 'Subscription',
    status: 'requested',
    reason: 'x',
    criteria: 'AuditEvent',
    channel,
  };
  t.equal((await la.request('POST', 'Subscription', subscription)).status, 201);
  const forged = { ...subscription, channel: { ...channel, header: ['Webhook-Id: mine'] } };
  t.equal((await la.request('POST', 'Subscription', forged)).status, 422, 'a subscriber sets no such header');
  t.equal((await epr.request('GET', `Flag?patient=${plan.nhsNumber}`)).status, 200);
  await endpoint.waitFor(2, 20_000);

  const [first, second] = endpoint.received;
  if (first === undefined || second === undefined) throw new Error('nothing arrived');
  const id = JSON.parse(first.body).id;
  t.match([headersOf(first), headersOf(second)], [{ 'webhook-id': id }, { 'webhook-id': id }], 'the id of the event');
  t.ok(Number(headersOf(second)['webhook-timestamp']) > Number(headersOf(first)['webhook-timestamp']), 'a new time');
  t.strictSame(schemesOf(second), ['v1a', 'v1', 'v1']);

  for (const secret of [old, next])
    t.equal(new Webhook(secret).verify(second.body, headersOf(second))?.['id' as never], id);
  t.throws(() => new Webhook(secretOf(3)).verify(second.body, headersOf(second)));
  t.throws(() => new Webhook(old).verify(`${second.body} `, headersOf(second)), 'exactly the bytes that were sent');

  const keysUrl = `${world.server.origin}/.well-known/notification-keys.json`;
  const answer = await fetch(keysUrl);
  t.match(answer.headers.get('content-type'), /json/);
  const { keys } = (await answer.json()) as { keys: Record<string, string>[] };
  t.match(keys, [{ kty: 'OKP', crv: 'Ed25519', use: 'sig', alg: 'EdDSA', kid: /^[\w-]{43}$/, whpk: /^whpk_/ }]);
  t.notOk(
    keys.some((key) => 'd' in key),
    'public keys only',
  );

  const [, code = ''] = /```js\n([\s\S]*?)```/.exec(readFileSync('docs/notification-signatures.md', 'utf8')) ?? [];
  t.ok(code.split('\n').filter((line) => line !== '').length <= 11, 'ten lines and an import');
  const module = join(folder, 'check.mjs');
  writeFileSync(module, code);
  const { isGenuine } = await import(pathToFileURL(module).href);
  const body = Buffer.from(second.body);
  t.equal(isGenuine(second.headers, body, keys), true);
  t.equal(isGenuine(second.headers, Buffer.from(`${second.body} `), keys), false);
  t.equal(isGenuine({ ...second.headers, 'webhook-id': 'a' }, body, keys), false);
  t.equal(isGenuine(second.headers, body, keys, Date.now() + 301_000), false);
  t.equal(isGenuine({}, body, keys), false);

  const file = (name: string, content: string): string => {
    writeFileSync(join(folder, name), content, { mode: 0o600 });
    return join(folder, name);
  };
  const lines = `PUT /in HTTP/1.1\r\n${Object.entries(headersOf(second))
    .map(([name, value]) => `${name.toUpperCase()}: ${value}\r\n`)
    .join('')}`;
  const headers = file('headers', lines);
  const command = ['verify-notification', '--headers', headers];
  t.match(await runCpis([...command, '--keys', keysUrl], { input: body }), { code: 0, out: /^valid: .*v1a/ });
  t.match(
    await runCommandHere([
      ...command,
      '--secrets',
      file('secrets', `${secretOf(9)}\n${next}\n`),
      '--body',
      file('body', second.body),
    ]),
    { code: 0, out: /scheme v1\n/ },
  );
  t.match(await runCommandHere([...command, '--keys', keysUrl], `${second.body} `), {
    code: 1,
    out: /^not valid: no signature fits/,
  });
  const stale = { ...headersOf(second), 'webhook-timestamp': '1000000000' };
  const staleFile = file('stale.json', JSON.stringify(stale));
  t.match(
    await runCommandHere(
      ['verify-notification', '--headers', staleFile, '--keys', file('keys.json', JSON.stringify({ keys }))],
      body,
    ),
    { code: 1, out: /too long ago/ },
  );
  t.match(await runCommandHere([...command], body), { code: 2, err: /Set --keys or --secrets/ });
  t.match(await runCommandHere([...command, '--keys', headers], body), { code: 2, err: /no JWK Set/ });
  t.notMatch(world.log(), /whsec_|webhook-signature/);
});

t.test('case 30: during a key rotation both keys sign until the old one is dropped', async (t) => {
  const file = join(folderOf(t), 'deep', 'keys.json');
  const [one, two] = await Promise.all([openNotificationKeys(file), openNotificationKeys(file)]);
  t.strictSame(one.publicJwks, two.publicJwks, 'two processes that start at once have the same key');
  t.equal(statSync(file).mode & 0o777, 0o600);
  const endpoint = await openReceiver();
  t.teardown(() => endpoint.close());
  const send = async (body: string) => {
    const keys = await openNotificationKeys(file);
    const sender = openSender({
      resolve: async () => [{ address: '127.0.0.1', family: 4 }],
      allowLoopback: true,
      connectTimeoutMs: 1_000,
      deadlineMs: 5_000,
      responseCapBytes: 1_000,
      connectionsPerOrigin: 1,
      now: Date.now,
      sign: buildSignNotification(keys.privateKeys, Date.now),
    });
    const signing = { id: 'event-1', secrets: [decode(secretOf(1))] };
    await sender.send({ method: 'POST', url: endpoint.origin, headers: [], body, signing });
    await sender.close();
    return endpoint.received.at(-1) as Received;
  };
  const verifyWith = ({ publicJwks }: typeof one, request: Received, body: string): string => {
    const [id, timestamp, signature] = ['webhook-id', 'webhook-timestamp', 'webhook-signature'].map(
      (name) => headersOf(request)[name],
    );
    const keys = { publicKeys: readPublicKeys(publicJwks), secrets: [] };
    return verifyNotification({ id, timestamp, signature }, Buffer.from(body), keys, Date.now()).kind;
  };

  const rotated = await rotateNotificationKeys(file);
  t.equal(rotated.publicJwks.keys.length, 2);
  const both = await send('');
  t.strictSame(schemesOf(both), ['v1a', 'v1a', 'v1'], 'an empty notification is signed too');
  t.equal(verifyWith(one, both, ''), 'valid', 'by the old key');
  const dropped = await runCommandHere(['keygen', '--notification-keys', file, '--drop-old']);
  t.match(dropped, { code: 0, err: /Keys in the file: 1\./ });
  t.strictSame(JSON.parse(dropped.out).keys, [rotated.publicJwks.keys[0]], 'the newest is kept');
  const now = await send('{"é":1}');
  t.equal(verifyWith(one, now, '{"é":1}'), 'invalid');
  t.equal(verifyWith(rotated, now, '{"é":1}'), 'valid');
  const [jwk] = rotated.publicJwks.keys;
  const [, signature = ''] = /v1a,(\S+)/.exec(headersOf(now)['webhook-signature'] ?? '') ?? [];
  const content = Buffer.from(`event-1.${headersOf(now)['webhook-timestamp']}.{"é":1}`);
  const raw = Buffer.from((jwk as { whpk: string }).whpk.slice('whpk_'.length), 'base64');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: raw.toString('base64url') }, format: 'jwk' });
  t.ok(verify(null, content, key, Buffer.from(signature, 'base64')), 'whpk is that key');

  for (const content of ['', '{}', '{"keys":[]}', '{"keys":[{"kty":"EC"}]}', JSON.stringify(one.publicJwks)]) {
    writeFileSync(file, content);
    await t.rejects(openNotificationKeys(file), /does not hold a JWK Set/, content);
  }
});

t.test('a notification to one authority cannot be passed off as one to another', async (t) => {
  const keys = await openNotificationKeys(join(folderOf(t), 'keys.json'));
  const publicKeys = readPublicKeys(keys.publicJwks);
  const atMs = 1_800_000_000_000;
  const sign = buildSignNotification(keys.privateKeys, () => atMs);
  const headersFor = (recipient: string, secrets: Buffer[] = []) => {
    const [, id, , timestamp, , signature, name, to, , recipientSignature] = sign(
      { id: 'a-1', secrets, recipient },
      'body',
    );
    t.equal(name, 'webhook-recipient');
    return { id, timestamp, signature, recipient: to, recipientSignature };
  };
  const check = (headers: object, recipient: string | undefined, secrets: Buffer[] = []) => {
    const given = headers as ReturnType<typeof headersFor>;
    return verifyNotification(given, Buffer.from('body'), { publicKeys, secrets, recipient }, atMs);
  };
  const mine = headersFor('E99000001');
  t.match(check(mine, 'E99000001'), { kind: 'valid', scheme: 'v1a' });
  t.match(check(mine, undefined), { kind: 'valid', scheme: 'v1a' }, 'by the standard, whoever it is for');
  t.match(check(mine, 'E99000002'), { kind: 'invalid', reason: /webhook-recipient does not name this receiver/ });
  const forged = { ...mine, recipient: 'E99000002' };
  t.match(check(forged, 'E99000002'), { kind: 'invalid', reason: /no signature fits/ }, 'the header alone is no proof');
  const { signature, recipientSignature, ...rest } = mine;
  const swapped = { ...rest, signature: recipientSignature, recipientSignature: signature };
  for (const recipient of ['E99000001', 'E99000002', undefined])
    t.match(check(swapped, recipient), { kind: 'invalid' });
  t.match(check({ ...mine, recipientSignature: undefined }, 'E99000001'), { kind: 'invalid' });
  const secret = decode(secretOf(1));
  t.match(check(headersFor('E99000001', [secret]), 'E99000001', [secret]), { kind: 'valid' });
});

t.test('an invalid signature is reported with a reason', async (t) => {
  const keys = await openNotificationKeys(join(folderOf(t), 'keys.json'));
  const publicKeys = readPublicKeys(keys.publicJwks);
  const secrets = [decode(secretOf(1))];
  const atMs = 1_800_000_000_000;
  const [, id, , timestamp, , signature = ''] = buildSignNotification(keys.privateKeys, () => atMs)(
    { id: 'a-1', secrets },
    'body',
  );
  const body = Buffer.from('body');
  const check = (over: object, nowMs = atMs, known: { publicKeys?: typeof publicKeys; secrets?: Buffer[] } = {}) =>
    verifyNotification({ id, timestamp, signature, ...over }, body, { publicKeys, secrets, ...known }, nowMs);
  t.match(check({}), { kind: 'valid', scheme: 'v1a', sentMs: atMs });
  t.match(check({}, atMs, { publicKeys: [] }), { kind: 'valid', scheme: 'v1' });
  t.match(check({ signature: `v9,x ${signature}` }), { kind: 'valid' }, 'other kinds are passed over');
  t.match(check({}, atMs + 300_000), { kind: 'valid' });
  t.match(check({}, atMs + 301_000), { kind: 'invalid', reason: /too long ago/ });
  t.match(check({}, atMs - 301_000), { kind: 'invalid', reason: /future/ });
  t.match(
    verifyNotification({ id, timestamp, signature }, body, { publicKeys, secrets }, 0, Number.POSITIVE_INFINITY),
    { kind: 'valid' },
  );
  t.match(check({ id: undefined }), { reason: /not signed/ });
  t.match(check({ id: 'a-2' }), { reason: /no signature fits/ });
  t.match(check({ timestamp: '1800000000.0' }), { reason: /malformed/ });
  t.match(check({}, atMs, { publicKeys: [], secrets: [] }), { reason: /no signature fits/ });
  for (const wrong of [
    '',
    'v1a,',
    'v1,',
    'v1a',
    signature.replace(/v1a,.{4}/, 'v1a,AAAA').split(' ')[0],
    `v1,${'A'.repeat(5_000)}`,
  ]) {
    t.match(check({ signature: wrong }), { kind: 'invalid' }, String(wrong).slice(0, 20));
  }
});

t.test('keys and secrets of clients', async (t) => {
  const folder = folderOf(t);
  const out = join(folder, 'key.json');
  const made = await runCommandHere(['keygen', '--out', out, '--kid', 'northmoor-2027']);
  t.equal(made.code, 0);
  t.equal(statSync(out).mode & 0o777, 0o600);
  const publicJwk = JSON.parse(made.out);
  t.match(publicJwk, { kid: 'northmoor-2027', alg: 'ES384', use: 'sig', kty: 'EC' });
  t.notOk('d' in publicJwk);
  const kept = readFileSync(out, 'utf8');
  t.match(await runCpis(['keygen', '--out', out]), { code: 1, err: /already exists and was not changed/ });
  t.equal(readFileSync(out, 'utf8'), kept);
  const rsa = await runCommandHere(['keygen', '--out', join(folder, 'rsa.json'), '--alg', 'RS512']);
  const secret = (await runCommandHere(['keygen', '--webhook-secret'])).out.trim();
  for (const args of [
    ['keygen'],
    ['keygen', '--out', 'x', '--alg', 'HS256'],
    ['keygen', '--out', 'x', '--kid', 'a b'],
    ['keygen', '--ou'],
  ]) {
    t.match(await runCommandHere(args), { code: 2 }, args.join(' '));
  }

  const client = (over: object) => ({
    ...{ clientId: 'c', organisation: 'E99000001', role: 'authority', scopes: ['system/Flag.rs'] },
    ...{ jwks: { keys: [publicJwk, JSON.parse(rsa.out)] }, ...over },
  });
  const organisations = [
    {
      ...{ kind: 'local-authority', name: 'Northmoor', odsCode: 'ZZL01', gssCode: 'E99000001', dfeCode: '991' },
      ...{ officeHoursTelephone: '01632 960010', emergencyDutyTeamTelephone: '01632 960019' },
    },
    { kind: 'operator', name: 'Operator', odsCode: 'ZZS01' },
  ];
  const parse = (over: object) => parseRegistry({ organisations, clients: [client(over)] }, 1);
  t.strictSame(parse({ webhookSecrets: [secret] }).clients.get('c')?.webhookSecrets, [decode(secret)]);
  t.strictSame(parse({}).clients.get('c')?.webhookSecrets, []);
  for (const wrong of [
    secretOf(1, 23),
    secretOf(1, 65),
    secret.slice(6),
    `${secret} `,
    'whsec_',
    `whsec_${'-'.repeat(32)}`,
    'whsec_QQ==',
  ]) {
    t.throws(() => parse({ webhookSecrets: [wrong] }), /webhookSecrets\[0\]: must be whsec_/);
  }
  t.throws(() => parse({ webhookSecrets: [secretOf(1), secretOf(2), secretOf(3)] }), /must have at most 2 entries/);
  t.throws(
    () => parse({ webhookSecrets: [secret], role: 'operator', organisation: 'ZZS01' }),
    /only an authority receives notifications/,
  );
});
