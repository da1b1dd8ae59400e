import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { receiver } from '../../support/test-receiver.ts';
import { sender } from './test-sender.ts';

t.test('only a 2xx is an acknowledgement', async (t) => {
  const endpoint = await receiver(t);
  const send = sender(t);
  for (const status of [200, 201, 202, 204, 226]) {
    endpoint.behave({ kind: 'answer', status, ...(status === 204 ? {} : { body: '{"error":true}' }) });
    t.same(await send(endpoint.origin), { kind: 'acknowledged', status });
  }
  for (const status of [300, 304, 401, 403, 404, 405, 408, 410, 451, 500, 501, 503]) {
    endpoint.behave({ kind: 'answer', status });
    t.same(await send(endpoint.origin), { kind: 'failed', reason: `status-${status}`, endpointAlive: false });
  }
  for (const status of [400, 409, 412, 413, 422]) {
    endpoint.behave({ kind: 'answer', status, body: 'no' });
    t.same(await send(endpoint.origin), { kind: 'failed', reason: `status-${status}`, endpointAlive: true });
  }
  endpoint.behave({ kind: 'answer', status: 503, headers: { 'retry-after': '120' } });
  t.match(await send(endpoint.origin), { reason: 'status-503', retryAfterMs: 120_000 });
  t.match(endpoint.received[0]?.rawHeaders.join(), 'X-Same,1,X-Same,2');
});

t.test('a redirect is not followed', async (t) => {
  const [endpoint, elsewhere] = [await receiver(t), await receiver(t)];
  const send = sender(t);
  for (const status of [301, 302, 303, 307, 308]) {
    endpoint.behave({ kind: 'redirect', status, location: elsewhere.origin });
    t.match(await send(endpoint.origin), { reason: `status-${status}`, endpointAlive: false });
  }
  t.equal(elsewhere.received.length, 0);
});

t.test('one deadline covers connecting, waiting and reading', async (t) => {
  const endpoint = await receiver(t);
  const send = sender(t, { deadlineMs: 700 });
  const slowHeaders = createTcpServer((socket) => {
    const timer = setInterval(() => socket.write('H'), 50);
    socket.on('close', () => clearInterval(timer)).on('error', () => undefined);
  });
  await new Promise<void>((resolve) => slowHeaders.listen(0, '127.0.0.1', resolve));
  t.teardown(() => slowHeaders.close());
  const address = slowHeaders.address();
  const port = typeof address === 'object' ? address?.port : 0;
  const hang = await receiver(t);
  hang.behave({ kind: 'hang' });
  endpoint.behave({ kind: 'drip', everyMs: 20 });
  const results = await Promise.all([send(endpoint.origin), send(hang.origin), send(`http://127.0.0.1:${port}/`)]);
  t.match(results[0], { kind: 'failed', reason: 'timeout', endpointAlive: false });
  t.match(results[1], { kind: 'failed', reason: 'timeout' });
  t.match(results[2], { kind: 'failed', endpointAlive: false });

  const noAnswer = sender(t, { resolve: () => new Promise(() => undefined), deadlineMs: 700 });
  t.match(await noAnswer('http://localhost:9000/'), { reason: 'timeout' }, 'a resolver that never answers');
});

t.test('an endless body is cut at the cap', async (t) => {
  const endpoint = await receiver(t);
  endpoint.behave({ kind: 'flood' });
  const send = sender(t);
  t.same(await send(endpoint.origin), { kind: 'acknowledged', status: 200 });
  t.ok(endpoint.bytesSent < 8 * 1024 * 1024, `${endpoint.bytesSent} bytes, socket buffers included`);
  endpoint.behave({ kind: 'answer', status: 200 });
  t.same(await send(endpoint.origin), { kind: 'acknowledged', status: 200 }, 'the next one gets a new connection');
});

t.test('a compressed response is not decompressed, whatever its size would be', async (t) => {
  const bomb = gzipSync(Buffer.alloc(30 * 1024 * 1024));
  t.ok(bomb.length < 65_536, `${bomb.length} bytes`);
  let connections = 0;
  const server = createHttpServer((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': bomb.length }).end(bomb);
  });
  server.on('connection', () => {
    connections += 1;
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => {
    server.close();
    server.closeAllConnections();
  });
  const send = sender(t, { connectionsPerOrigin: 1 });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  for (let round = 0; round < 3; round += 1) t.match(await send(url), { kind: 'acknowledged' });
  t.equal(connections, 1, 'none was cut at the cap');
});

t.test('a broken connection is a failure', async (t) => {
  const endpoint = await receiver(t);
  const send = sender(t);
  endpoint.behave({ kind: 'reset' });
  t.match(await send(endpoint.origin), { reason: 'connection', endpointAlive: false });
  endpoint.behave({ kind: 'answer', status: 200 });
  t.match(await send(endpoint.origin), { kind: 'acknowledged' });
  await endpoint.close();
  t.match(await send(endpoint.origin), { reason: 'connection' });
  t.match(await send('http://127.0.0.1:1/'), { reason: 'connection' });
});

t.test('the connections to one origin are limited', async (t) => {
  const endpoint = await receiver(t);
  endpoint.behave({ kind: 'slow', delayMs: 30, status: 200 });
  const send = sender(t);
  const results = await Promise.all(Array.from({ length: 10 }, () => send(endpoint.origin)));
  t.ok(results.every(({ kind }) => kind === 'acknowledged'));
  t.equal(endpoint.mostConnections, 2);
});
