import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { WebSocket } from 'ws';
import { fault } from '../../src/fhir/fault.ts';
import { waitUntil } from '../support/wait-until.ts';
import { callerOf, issueOf, rawExchange, startServer, token } from './start-server.ts';

const byToken = (authorization: string | undefined) => {
  const clientId = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
  if (clientId === undefined) throw fault('login', 'A valid access token is needed.');
  return { ...callerOf('authority'), clientId };
};
const as = (client: string) => ({ headers: { authorization: `Bearer ${client}` } });

/** Connects, and resolves once the server has accepted the connection or cut it. */
async function open(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write('GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await Promise.race([once(socket, 'data'), once(socket, 'close')]);
  return socket;
}

t.test('a client that sends too many requests gets 429, unaudited, and others are served', async (t) => {
  const server = await startServer({ authenticate: byToken, limits: { clientBurst: 3, clientPerSecond: 0.01 } });
  t.teardown(server.close);
  const get = (client: string, path = 'Flag/x') => fetch(`${server.url}/${path}`, as(client));
  for (let count = 0; count < 3; count++) t.equal((await get('a')).status, 200);
  const refused = await get('a');
  t.equal(refused.status, 429);
  t.ok(Number(refused.headers.get('retry-after')) > 1);
  t.match(await issueOf(refused), { code: 'throttled', spine: 'TOO_MANY_REQUESTS', diagnostics: /too many requests/ });
  t.equal((await get('a', 'Nope/x')).status, 429, 'a path that is not served counts too');
  t.equal((await get('b')).status, 200);
  t.equal(server.refused.length, 0, 'nothing is audited, because that would fill the store');
  t.match(await server.metrics.metrics(), /^http_client_throttled_total 2$/m);
});

t.test('each request in a Bundle counts', async (t) => {
  const server = await startServer({ authenticate: byToken, limits: { clientBurst: 10, clientPerSecond: 0.01 } });
  t.teardown(server.close);
  const post = () =>
    fetch(server.url, {
      method: 'POST',
      headers: { ...as('a').headers, 'content-type': 'application/fhir+json' },
      body: JSON.stringify({ resourceType: 'Bundle', type: 'batch', entry: Array.from({ length: 20 }, () => ({})) }),
    });
  t.equal((await post()).status, 200, 'a Bundle is never too large for the share');
  const refused = await post();
  t.equal(refused.status, 429);
  t.ok(Number(refused.headers.get('retry-after')) >= 1_000, 'what it owes delays the next request');
});

t.test('a client with too many requests under way gets 429, and others are served', async (t) => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const server = await startServer({
    authenticate: byToken,
    limits: { clientConcurrent: 2 },
    answer: async ({ id }) => {
      if (id === 'held') await released;
      return { kind: 'ok', body: '{}' };
    },
  });
  t.teardown(server.close);
  const held = [1, 2].map(() => fetch(`${server.url}/Flag/held`, as('a')));
  await waitUntil('two are performed', () => server.performed.length === 2);
  const refused = await fetch(`${server.url}/Flag/x`, as('a'));
  t.equal(refused.status, 429);
  t.match(await issueOf(refused), { code: 'throttled', diagnostics: /under way/ });
  t.equal((await fetch(`${server.url}/Flag/x`, as('b'))).status, 200);
  release();
  for (const response of held) t.equal((await response).status, 200);
  t.equal((await fetch(`${server.url}/Flag/x`, as('a'))).status, 200);
});

t.test('an address has a maximum of connections, and a trusted proxy has none', async (t) => {
  const server = await startServer({ limits: { maxConnectionsPerAddress: 3 } });
  t.teardown(server.close);
  const sockets = [];
  for (let count = 0; count < 5; count++) sockets.push(await open(server.port));
  t.strictSame(
    sockets.map(({ destroyed }) => destroyed),
    [false, false, false, true, true],
  );
  sockets[0]?.destroy();
  await waitUntil('a place is free', async () => !(await open(server.port)).destroyed);

  const behind = await startServer({
    limits: { maxConnectionsPerAddress: 3 },
    forwarding: { trustedProxies: ['127.0.0.1'] },
  });
  t.teardown(behind.close);
  for (let count = 0; count < 5; count++) t.notOk((await open(behind.port)).destroyed);
});

t.test('a response that nobody reads is cut, and one that takes long to make is not', async (t) => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const server = await startServer({
    limits: { stalledAfterMs: 300 },
    answer: async ({ id }) => {
      if (id === 'held') await released;
      return { kind: 'ok', body: JSON.stringify(id === 'large' ? 'x'.repeat(50_000_000) : 'x') };
    },
  });
  t.teardown(server.close);
  const ask = (id: string) =>
    `GET /FHIR/R4/Flag/${id} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer canary-token-7f3a\r\nConnection: close\r\n\r\n`;
  const socket = connect(server.port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(ask('large'));
  socket.pause();
  const connections = () =>
    new Promise<number>((resolve) => server.http.getConnections((_error, count) => resolve(count)));
  await waitUntil('it is performed', () => server.performed.length === 1);
  await waitUntil('the slow reader is cut', async () => (await connections()) === 0);

  const working = rawExchange(server.port, [ask('held')]);
  await once(server.http, 'timeout');
  release();
  t.match((await working).text, /^HTTP\/1\.1 200 /);
});

t.test('a stop waits for no connection without a whole request', async (t) => {
  const half = 'GET /health/live HTTP/1.1\r\nHost: x\r\n';
  const body = `POST /FHIR/R4/Flag HTTP/1.1\r\nHost: x\r\nAuthorization: ${token}\r\nContent-Type: application/fhir+json\r\nContent-Length: 100\r\n\r\n{`;
  for (const [name, texts] of Object.entries({
    'nothing was sent': [],
    'half a head': [half],
    'half a head after a response': [`${half}\r\n`, half],
    'half a body': [body],
  })) {
    const server = await startServer({ limits: { drainTimeoutMs: 2_000, requestTimeoutMs: 3_600_000 } });
    t.teardown(server.close);
    const socket = connect(server.port, '127.0.0.1');
    socket.on('error', () => undefined);
    await once(socket, 'connect');
    for (const text of texts) {
      socket.write(text);
      if (text.endsWith('\r\n\r\n')) await once(socket, 'data');
    }
    const cut = new Promise((resolve) => socket.once('close', resolve));
    await server.drain();
    await cut;
    t.pass(name);
  }
});

t.test('a stop answers what is under way, and waits for no connection that is kept alive', async (t) => {
  const { promise: released, resolve: release } = Promise.withResolvers<void>();
  const server = await startServer({
    limits: { keepAliveTimeoutMs: 3_600_000 },
    answer: async () => {
      await released;
      return { kind: 'ok', body: '{}' };
    },
  });
  await open(server.port);
  const socket = connect(server.port, '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write('GET /FHIR/R4/Flag/x HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer canary-token-7f3a\r\n\r\n');
  await waitUntil('it is performed', () => server.performed.length === 1);
  const closed = once(socket, 'close');
  const drained = server.drain();
  release();
  await Promise.all([drained, closed]);
  t.match(text, /^HTTP\/1\.1 200 /);
});

t.test('a hostile WebSocket is cut, and is no error in the log', async (t) => {
  let closed = 0;
  const server = await startServer({ acceptSocket: (channel) => channel.onClose(() => closed++) });
  t.teardown(server.close);
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/$websocket`);
  await once(socket, 'open');
  socket.send('x'.repeat(9_000));
  await once(socket, 'close');
  await waitUntil('the server has cut it', () => closed === 1);
  t.ok(server.log.some((line) => line.includes('WS_ERR_UNSUPPORTED_MESSAGE_LENGTH')));
  t.notOk(server.log.some((line) => JSON.parse(line).level >= 50));
});

t.test('a stop tells WebSocket subscribers that the server goes away', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/$websocket`);
  await once(socket, 'open');
  const closed = once(socket, 'close');
  await server.drain();
  const [code] = await closed;
  t.equal(code, 1001);
});

t.test('a request to upgrade another path is answered as if it had none, and its URL is not logged', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  for (const upgrade of ['websocket', 'h2c']) {
    const { text } = await rawExchange(server.port, [
      'GET /FHIR/R4/Flag?patient=9990000018 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer canary-token-7f3a\r\n' +
        `Connection: Upgrade, close\r\nUpgrade: ${upgrade}\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    ]);
    t.match(text, /^HTTP\/1\.1 200 /, upgrade);
  }
  t.notMatch(server.log.join(''), '9990000018');
});

t.test('the token endpoint refuses a network whose requests keep failing, and logs client and reason', async (t) => {
  const server = await startServer({
    limits: { unauthenticatedBurst: 5, unauthenticatedPerSecond: 0.001, clientBurst: 20, clientPerSecond: 0.001 },
    issueToken: async (form) =>
      form.get('client_assertion') === 'good'
        ? { status: 200, body: {}, headers: {}, clientId: 'epr' }
        : { status: 401, body: { error: 'invalid_client' }, headers: {}, reason: 'signature', clientId: 'epr' },
  });
  t.teardown(server.close);
  const ask = (assertion: string) =>
    fetch(`http://127.0.0.1:${server.port}/oauth2/token`, {
      method: 'POST',
      body: new URLSearchParams({ client_assertion: assertion }),
    });
  for (let count = 0; count < 20; count++) t.equal((await ask('good')).status, 200);
  const overShare = await ask('good');
  t.equal(overShare.status, 429, 'a client has its share of tokens too');
  t.match(await overShare.json(), { error: 'temporarily_unavailable' });
  for (let count = 0; count < 5; count++) t.equal((await ask('bad')).status, 401);
  const refused = await ask('bad');
  t.equal(refused.status, 429);
  t.ok(Number(refused.headers.get('retry-after')) > 1);
  t.match(await refused.json(), { error: 'temporarily_unavailable' });
  const logged = server.log.map((line) => JSON.parse(line)).filter(({ status }) => status === 401);
  t.match(logged[0], { route: '/oauth2/token', clientId: 'epr', detail: 'signature' });
});
