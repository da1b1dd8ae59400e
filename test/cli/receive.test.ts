import { generateKeyPairSync } from 'node:crypto';
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import t, { type Test } from 'tap';
import { makeClientKeys } from '../support/keys.ts';
import { type Desk, openDesk } from '../support/receiver-desk.ts';
import { runCommandHere, runCpis } from '../support/run-cpis.ts';
import { waitUntil } from '../support/wait-until.ts';

const eventOf = (id: string, over: object = {}) => ({
  resourceType: 'AuditEvent',
  id,
  action: 'E',
  recorded: '2026-11-22T20:35:59.301Z',
  subtype: [{ code: 'search-type' }],
  agent: [
    { type: { coding: [{ code: 'IRCP' }] }, name: 'Robin Marlowe', role: [{ text: 'Emergency Department Nurse' }] },
    {
      type: { coding: [{ code: 'PROV' }] },
      who: { identifier: { value: 'ZZH01' }, display: 'Northmoor General' },
    },
  ],
  entity: [{ what: { reference: 'Patient/9990000018' }, role: { code: '1' } }],
  ...over,
});

/** Builds a notification of a topic. `events` are event numbers, with the event if it is sent or named. */
function bundleOf(
  type: string,
  newest: number,
  events: readonly (readonly [number: number, id?: string, isSent?: boolean])[] = [],
  subscription = 's-1',
) {
  const root = 'https://cpis.example.org/FHIR/R4';
  const parameter = [
    { name: 'subscription', valueReference: { reference: `${root}/Subscription/${subscription}` } },
    { name: 'status', valueCode: 'active' },
    { name: 'type', valueCode: type },
    { name: 'events-since-subscription-start', valueString: String(newest) },
    ...events.map(([number, id]) => ({
      name: 'notification-event',
      part: [
        { name: 'event-number', valueString: String(number) },
        ...(id === undefined ? [] : [{ name: 'focus', valueReference: { reference: `${root}/AuditEvent/${id}` } }]),
      ],
    })),
  ];
  const sent = events.flatMap(([, id, isSent = true]) =>
    id === undefined || !isSent ? [] : [{ resource: eventOf(id) }],
  );
  return {
    resourceType: 'Bundle',
    type: 'history',
    entry: [{ resource: { resourceType: 'Parameters', parameter } }, ...sent],
  };
}

const put = (id: string) => ({ method: 'PUT', path: `/AuditEvent/${id}` });

t.test('stores each event once in whatever form it arrives, refuses everything else and keeps running', async (t) => {
  const desk = openDesk(t);
  const { send } = desk;
  const receiver = await desk.start();
  const { endpoint } = receiver;
  t.equal(await send(endpoint, eventOf('a-1'), put('a-1')), 201);
  t.equal(await send(endpoint, eventOf('a-1'), put('a-1')), 200, 'again');
  t.equal(await send(endpoint, eventOf('a-1')), 200, 'by POST');
  t.equal(await send(endpoint, bundleOf('event-notification', 1, [[1, 'a-1']])), 200, 'in a Bundle');
  t.equal(await send(endpoint, '', { id: 'a-2' }), 200, 'an empty one');
  t.equal(await send(endpoint, bundleOf('handshake', 0)), 200);
  t.equal(await send(endpoint, bundleOf('heartbeat', 1)), 200);

  const a3 = eventOf('a-3');
  const refused: readonly (readonly [number, unknown, Parameters<Desk['send']>[2]])[] = [
    [401, a3, { ...put('a-3'), headers: { authorization: 'Bearer a-secreT' } }],
    [401, a3, { ...put('a-3'), headers: { authorization: '' } }],
    [401, a3, { ...put('a-3'), headers: { 'webhook-id': 'a-4' } }],
    [401, a3, { ...put('a-3'), headers: { 'webhook-signature': 'v1a,AAAA' } }],
    [401, a3, { ...put('a-3'), headers: { 'webhook-timestamp': '1800000000' } }],
    [400, a3, { ...put('a-3'), id: 'a-4' }],
    [400, a3, put('a-4')],
    [404, a3, { method: 'PUT', path: '/Flag/a-3' }],
    [404, a3, { method: 'PUT', path: 'x/AuditEvent/a-3' }],
    [405, a3, { ...put('a-3'), method: 'POST' }],
    [405, a3, { method: 'PUT' }],
    [415, a3, { ...put('a-3'), headers: { 'content-type': 'text/plain' } }],
    [415, a3, { ...put('a-3'), headers: { 'content-encoding': 'gzip' } }],
    [400, '{', put('a-3')],
    [400, 'null', put('a-3')],
    [400, '', put('a-3')],
    [400, '{"resourceType":"AuditEvent","resourceType":"AuditEvent","id":"a-3"}', { ...put('a-3'), id: 'a-3' }],
    [400, `${'['.repeat(100_000)}`, {}],
    [400, { ...a3, resourceType: 'Flag' }, put('a-3')],
    [400, { ...a3, id: '../a' }, {}],
    [400, { resourceType: 'Bundle', type: 'history' }, {}],
    [400, { resourceType: 'Bundle', type: 'history', entry: [null, 1, 'x'] }, {}],
    [
      400,
      {
        resourceType: 'Bundle',
        type: 'history',
        entry: [{ resource: { resourceType: 'Parameters', parameter: [{}] } }],
      },
      {},
    ],
    [413, ' '.repeat(1024 * 1024 + 1), put('a-3')],
  ];
  for (const [status, body, more] of refused) {
    t.equal(
      await send(endpoint, body, more),
      status,
      `${status} ${JSON.stringify(more)} ${JSON.stringify(body).slice(0, 40)}`,
    );
  }
  const { port } = new URL(endpoint);
  for (const bytes of [
    '\u0000\u0001\u0002\r\n\r\n',
    'PUT /notifications HTTP/1.1\r\nhost: x\r\ncontent-length: 99999\r\n\r\nhalf',
    'GET ',
  ]) {
    await new Promise<void>((resolve) => {
      const socket = connect(Number(port), '127.0.0.1', () =>
        socket.write(bytes, () => setTimeout(() => socket.destroy(), 20)),
      );
      socket.on('error', () => undefined).on('close', () => resolve());
    });
  }
  // Shapes that no server sends are described as far as possible.
  const odd = { ...eventOf('a-5'), agent: [null, 3, { type: 7, role: {} }], entity: 'x', recorded: 5, subtype: [[]] };
  t.equal(await send(endpoint, odd, put('a-5')), 201);
  const steering = eventOf('a-6', {
    agent: [{ type: { coding: [{ code: 'IRCP' }] }, name: '\u001b[2J\u202eRobin\nMarlowe' }],
  });
  t.equal(await send(endpoint, steering, { ...put('a-6'), id: 'a-6' }), 400, 'no control characters in FHIR');
  const bidi = eventOf('a-7', { agent: [{ type: { coding: [{ code: 'IRCP' }] }, name: '\u202eRobin\nMarlowe' }] });
  t.equal(await send(endpoint, bidi, put('a-7')), 201);

  t.equal(await receiver.stop(), 0);
  t.strictSame(receiver.lines(), [
    '2026-11-22T20:35:59.301Z  Robin Marlowe (Emergency Department Nurse), Northmoor General looked up 9990000018',
    'an access (no details were sent)',
    'an access (no details were sent)',
    '2026-11-22T20:35:59.301Z  Robin Marlowe looked up 9990000018',
  ]);
  t.match(receiver.output(), /refused with status 401[\s\S]*4 accesses received, 0 event numbers missing/);
  t.notMatch(receiver.output(), /9990000018|Marlowe|a-secret/, 'nothing of an event beside the output');
});

t.test('acknowledged events survive kill -9 and are once in the output file', async (t) => {
  const desk = openDesk(t);
  const file = join(desk.folder, 'accesses.csv');
  const args = ['--format', 'csv', '--output', file];
  const first = await desk.start(args);
  const ids = Array.from({ length: 60 }, (_, index) => `b-${index}`);
  let sent = 0;
  const acknowledged: string[] = [];
  const sending = Array.from({ length: 6 }, async () => {
    for (let id = ids[sent++]; id !== undefined; id = ids[sent++]) {
      const status = await desk.send(first.endpoint, eventOf(id, { agent: [] }), put(id));
      if (status === 201) acknowledged.push(id);
      if (acknowledged.length === 30) await first.kill();
    }
  });
  await Promise.all(sending);
  t.ok(acknowledged.length >= 30 && acknowledged.length < 60, `${acknowledged.length} before the kill`);
  appendFileSync(file, 'half a reco');

  const second = await desk.start(args);
  const again = await Promise.all(ids.map((id) => desk.send(second.endpoint, eventOf(id), put(id))));
  for (const [index, id] of ids.entries()) {
    if (acknowledged.includes(id)) t.equal(again[index], 200, `${id} was known`);
  }
  const formula = eventOf('b-x', {
    agent: [{ type: { coding: [{ code: 'IRCP' }] }, name: '=cmd(), "x"', role: [{ text: '-1' }] }],
  });
  t.equal(await desk.send(second.endpoint, formula, put('b-x')), 201);
  t.equal(await second.stop(), 0);
  const third = await desk.start(args);
  await third.stop();
  const rows: Record<string, string>[] = parse(readFileSync(file), { columns: true });
  t.strictSame(rows.map(({ id }) => id).sort(), [...ids, 'b-x'].sort(), 'each once');
  t.strictSame(
    rows.map(({ seq }) => Number(seq)),
    rows.map((_, index) => index + 1),
    'in the order of arrival',
  );
  t.match(rows.at(-1), { professional: `'=cmd(), "x"`, role: "'-1" }, 'no formula for a spreadsheet');
});

/** A FHIR server with numbered events that issues a token to every client. */
async function openSource(t: Test, has: (number: number) => string | undefined) {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '', 'http://source');
    const json = (body: unknown, status = 200) => response.writeHead(status).end(JSON.stringify(body));
    request.resume();
    if (url.pathname.endsWith('/smart-configuration')) return json({ token_endpoint: `${origin}/token` });
    if (url.pathname === '/token') return json({ access_token: 'token', expires_in: 300 });
    if (request.headers.authorization !== 'Bearer token') return json({}, 401);
    asked.push(`${url.pathname.slice('/FHIR/R4/'.length)}${url.search}`);
    const [, id] = /\/AuditEvent\/(.+)$/.exec(url.pathname) ?? [];
    if (id !== undefined) return id.startsWith('gone') ? json({}, 410) : json(eventOf(id));
    const [from, to] = ['eventsSinceNumber', 'eventsUntilNumber'].map((name) => Number(url.searchParams.get(name)));
    const events = [];
    for (let number = from ?? 0; number <= (to ?? 0); number += 1) {
      const found = has(number);
      if (found !== undefined) events.push([number, found] as const);
    }
    return json(bundleOf('query-event', to ?? 0, events));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { baseUrl: `${origin}/FHIR/R4`, asked };
}

t.test('fetches gaps in the event numbers, also after a crash, and content that was not sent', async (t) => {
  const desk = openDesk(t);
  const source = await openSource(t, (number) => (number === 4 ? undefined : `e-${number}`));
  const keyFile = join(desk.folder, 'client.json');
  writeFileSync(keyFile, JSON.stringify((await makeClientKeys('k')).privateJwk), { mode: 0o600 });
  const args = ['--format', 'ndjson', '--server', source.baseUrl, '--client-id', 'la', '--key', keyFile];
  /** Returns the lines without those repeated after a crash. */
  const idsIn = (lines: readonly string[]): string[] => [...new Set(lines.map((line) => JSON.parse(line).id))].sort();

  const first = await desk.start(args);
  t.equal(await desk.send(first.endpoint, bundleOf('handshake', 0)), 200);
  t.equal(await desk.send(first.endpoint, bundleOf('event-notification', 1, [[1, 'e-1']])), 200);
  t.equal(
    await desk.send(
      first.endpoint,
      bundleOf('event-notification', 6, [
        [5, 'e-5'],
        [6, 'e-6'],
      ]),
    ),
    200,
  );
  await first.kill();
  t.strictSame(idsIn(first.lines()), ['e-1', 'e-5', 'e-6']);
  t.strictSame(source.asked, [], 'what is on its way is waited for');

  const second = await desk.start(args);
  await waitUntil('it has fetched', () => /1 fetched|2 fetched/.test(second.output()));
  t.match(source.asked, [
    /^Subscription\/s-1\/\$events\?eventsSinceNumber=2&eventsUntilNumber=4&content=full-resource$/,
  ]);
  t.match(second.output(), /events 2 to 4 were missing: 2 fetched, 1 not on the server/);

  t.equal(
    await desk.send(second.endpoint, bundleOf('heartbeat', 8)),
    200,
    'the last ones were lost: a heartbeat tells',
  );
  t.equal(await desk.send(second.endpoint, bundleOf('event-notification', 9, [[9, 'e-9', false]])), 200, 'id-only');
  t.equal(await desk.send(second.endpoint, bundleOf('event-notification', 10, [[10]])), 200, 'empty');
  t.equal(await desk.send(second.endpoint, bundleOf('event-notification', 11, [[11, 'gone-11', false]])), 200);
  t.equal(await desk.send(second.endpoint, '', { id: 'e-12' }), 200, 'plain R4 without payload');
  const expected = ['e-10', 'e-12', 'e-2', 'e-3', 'e-5', 'e-6', 'e-7', 'e-8', 'e-9', 'gone-11'];
  await waitUntil('all are in the output', () => idsIn(second.lines()).length === expected.length);
  t.strictSame(idsIn(second.lines()), expected);
  const told = second.lines().map((line) => JSON.parse(line));
  t.match(
    told.find(({ id }) => id === 'e-10'),
    { number: 10, subscription: 's-1', event: eventOf('e-10') },
  );
  t.notOk(told.find(({ id }) => id === 'gone-11')?.event, 'kept, without what the server does not give');

  t.equal(await desk.send(second.endpoint, bundleOf('heartbeat', 5)), 200);
  t.equal(await desk.send(second.endpoint, bundleOf('event-notification', 11, [[3, 'other']])), 200);
  t.equal(await second.stop(), 0);
  t.match(
    second.output(),
    /numbers have gone back[\s\S]*number 3 was used for two events[\s\S]*0 event numbers missing/,
  );
});

t.test('a forged count does not fill the memory, and gaps are counted without a server', async (t) => {
  const desk = openDesk(t);
  const receiver = await desk.start();
  t.equal(await desk.send(receiver.endpoint, bundleOf('event-notification', 999_999_999_999_999, [[3, 'c-3']])), 200);
  t.equal(await desk.send(receiver.endpoint, bundleOf('event-notification', 7, [[7]], 's-2')), 200, 'empty: counts');
  t.equal(await receiver.stop(), 0);
  t.match(receiver.output(), /2 accesses received, 1000000000000004 event numbers missing/);
});

t.test('reloads rotated keys, accepts secrets, and accepts nothing if the keys cannot be loaded', async (t) => {
  const desk = openDesk(t);
  const receiver = await desk.start();
  t.equal(await desk.send(receiver.endpoint, eventOf('d-1'), put('d-1')), 201);
  const old = desk.signing;
  desk.signing = generateKeyPairSync('ed25519').privateKey;
  desk.publish(old, desk.signing);
  t.equal(await desk.send(receiver.endpoint, eventOf('d-2'), put('d-2')), 201, 'by the new key');
  desk.signing = generateKeyPairSync('ed25519').privateKey;
  t.equal(await desk.send(receiver.endpoint, eventOf('d-3'), put('d-3')), 401, 'by nobody’s');
  await receiver.stop();

  rmSync(join(desk.folder, 'keys.json'));
  const without = await desk.start();
  t.equal(await desk.send(without.endpoint, eventOf('d-3'), put('d-3')), 503, 'sent again later');
  desk.publish(desk.signing);
  t.equal(await desk.send(without.endpoint, eventOf('d-3'), put('d-3')), 201);
  t.match(without.output(), /cannot load the public keys of the server/);
});

t.test('refuses wrong usage', async (t) => {
  const { folder } = openDesk(t);
  const inbox = ['--inbox', join(folder, 'x.sqlite')];
  const wrong: readonly (readonly [string[], number, RegExp])[] = [
    [[], 2, /Set --keys, --secrets or --unsigned/],
    [['--unsigned'], 2, /--inbox is required/],
    [[...inbox, '--unsigned', '--keys', 'x'], 2, /cannot be combined/],
    [[...inbox, '--unsigned', '--format', 'xml'], 2, /--format must be one of/],
    [[...inbox, '--unsigned', '--path', 'x'], 2, /--path/],
    [[...inbox, '--unsigned', '--port', '99999'], 2, /--port/],
    [[...inbox, '--unsigned', '--server', 'https://x.example/FHIR'], 2, /--client-id is required/],
    [[...inbox, '--secrets', join(folder, 'authorization')], 2, /line 1 must be whsec_/],
    [['--inbox', folder, '--unsigned'], 1, /Cannot open the inbox/],
    [[...inbox, '--unsigned', '--output', join(folder, 'no', 'such')], 1, /^ENOENT.*such/],
  ];
  const refusals = wrong.map(async ([args, code, err]) => {
    t.match(await runCommandHere(['receive', ...args]), { code, err }, args.join(' '));
  });
  await Promise.all(refusals);
  const keysOnly = [...inbox, '--keys', 'x', '--output', join(folder, 'no', 'such')];
  t.match(await runCpis(['receive', ...keysOnly]), { err: /warning: without --authorization/ });
  t.match(await runCommandHere(['receive', '--help']), { code: 0, out: /^Usage: cpis receive/ });
});
