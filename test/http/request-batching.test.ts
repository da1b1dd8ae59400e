import t from 'tap';
import { buildRequestBatching } from '../../src/http/request-batching.ts';
import { rawExchange, startServer, token } from './start-server.ts';

t.test('requests that arrived together proceed together, in order, each once', async (t) => {
  const inStep = buildRequestBatching();
  const seen: string[] = [];
  const go = (name: string) => async (): Promise<void> => {
    seen.push(`${name} begins`);
    await undefined;
    seen.push(`${name} goes on`);
  };
  inStep(go('a'));
  await undefined;
  inStep(go('b'));
  t.strictSame(seen, [], 'what arrives in the same turn is waited for');
  await new Promise(setImmediate);
  t.strictSame(seen, ['a begins', 'b begins', 'a goes on', 'b goes on']);
});

t.test('a request that arrives while a batch runs joins the next batch', async (t) => {
  const inStep = buildRequestBatching();
  const seen: string[] = [];
  inStep(() => {
    seen.push('first');
    inStep(() => seen.push('second'));
  });
  inStep(() => seen.push('also first'));
  await new Promise(setImmediate);
  t.strictSame(seen, ['first', 'also first']);
  await new Promise(setImmediate);
  t.strictSame(seen, ['first', 'also first', 'second']);
});

t.test('the client address of a request is known even if its connection closes while it waits', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const request = (authorization: string): string =>
    `GET /FHIR/R4/Flag?patient=9990000018 HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${authorization}\r\n\r\n`;
  await rawExchange(server.port, [`${request(token)}\u0000 is no request\r\n\r\n`]);
  await rawExchange(server.port, [`${request('Bearer of nothing')}\u0000 is no request\r\n\r\n`]);
  t.match(server.performed, [{ context: { clientAddress: '127.0.0.1' } }]);
  t.match(server.refused, [{ clientAddress: '127.0.0.1' }]);
});
