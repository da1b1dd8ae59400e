import { connect, type Socket } from 'node:net';
import t from 'tap';
import { fault } from '../../src/fhir/fault.ts';
import { waitUntil } from '../support/wait-until.ts';
import { callerOf, issueOf, startServer } from './start-server.ts';

const json = (client: string) => ({ authorization: `Bearer ${client}`, 'content-type': 'application/fhir+json' });
const byToken = (authorization: string | undefined) => {
  const clientId = /^Bearer (.+)$/.exec(authorization ?? '')?.[1];
  if (clientId === undefined) throw fault('login', 'A valid access token is needed.');
  return { ...callerOf('authority'), clientId };
};

/** Sends a body in part and does not end it. */
function hold(port: number, client: string, bytes: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  socket.write(
    `POST /FHIR/R4/Flag HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${client}\r\n` +
      `Content-Type: application/fhir+json\r\nContent-Length: ${bytes + 1}\r\n\r\n${' '.repeat(bytes)}`,
  );
  return socket;
}

t.test('the bytes of bodies that are under way are bounded, for each client and for all', async (t) => {
  const server = await startServer({
    authenticate: byToken,
    limits: { bodyLimitBytes: 60_000, bodiesInFlightPerClientBytes: 60_000, bodiesInFlightBytes: 100_000 },
  });
  t.teardown(server.close);
  const post = (client: string, bytes: number) =>
    fetch(`${server.url}/Flag`, { method: 'POST', headers: json(client), body: `"${'x'.repeat(bytes - 2)}"` });
  /** Posts until the response has the status, because a held body arrives at some time. */
  const eventually = async (client: string, bytes: number, status: number): Promise<Response> => {
    let response = await post(client, bytes);
    await waitUntil(`${client} gets ${status}`, async () => {
      if (response.status !== status) response = await post(client, bytes);
      return response.status === status;
    });
    return response;
  };

  t.equal((await post('a', 60_000)).status, 200, 'a body of the maximum is always admitted alone');
  const held = hold(server.port, 'a', 50_000);
  const throttled = await eventually('a', 20_000, 429);
  t.match(throttled.headers.get('retry-after'), /^[1-9]\d*$/);
  t.match(await issueOf(throttled), { code: 'throttled', diagnostics: /request bodies under way/ });
  t.equal((await post('b', 20_000)).status, 200, 'another client is not affected');

  hold(server.port, 'b', 40_000);
  const overloaded = await eventually('c', 20_000, 503);
  t.match(overloaded.headers.get('retry-after'), /^[1-9]\d*$/);
  t.match(await issueOf(overloaded), { code: 'transient', diagnostics: /request bodies under way/ });
  t.equal((await post('c', 2_000)).status, 200, 'a small body has room');
  held.destroy();
  t.equal((await eventually('c', 20_000, 200)).status, 200, 'a connection that ends gives its bytes back');
  t.equal((await eventually('a', 20_000, 200)).status, 200);
});

t.test('others are answered while a long body is parsed', async (t) => {
  const server = await startServer({ authenticate: byToken, limits: { bodyLimitBytes: 10_000_000 } });
  t.teardown(server.close);
  const body = `[${`${' '.repeat(60_000)}1,`.repeat(150)}1]`;
  let isAnswered = false;
  const long = fetch(`${server.url}/Flag`, { method: 'POST', headers: json('a'), body }).then((response) => {
    isAnswered = true;
    return response.status;
  });
  let others = 0;
  while (!isAnswered) {
    await (await fetch(`http://127.0.0.1:${server.port}/health/live`)).text();
    others += 1;
  }
  t.equal(await long, 200);
  t.ok(others > 5, `${others} others were answered`);
});

t.test('a body with too many values, names or characters in a text is refused before it is parsed', async (t) => {
  const server = await startServer({ authenticate: byToken, limits: { bodyLimitBytes: 10_000_000 } });
  t.teardown(server.close);
  const bodies: readonly (readonly [string, RegExp])[] = [
    [`[${'[],'.repeat(3_000_000)}1]`, /more than 100000 values/],
    [`[${'{},'.repeat(3_000_000)}1]`, /more than 100000 values/],
    [`[${'1,'.repeat(4_000_000)}1]`, /more than 100000 values/],
    [`{${Array.from({ length: 2_000 }, (_, index) => `"k${index}":1`).join(',')}}`, /more than 1000 different/],
    [JSON.stringify('x'.repeat(9_000_000)), /a string is longer/],
    [' '.repeat(9_000_000), /white space in a row/],
  ];
  for (const [body, diagnostics] of bodies) {
    const response = await fetch(`${server.url}/Flag`, { method: 'POST', headers: json('a'), body });
    t.equal(response.status, 400);
    t.match(await issueOf(response), { code: 'structure', diagnostics });
  }
  t.equal(server.performed.length, 0);
});

t.test('a care provider, which submits nothing, may send less', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const send = async (bytes: number): Promise<number> => {
    const body = JSON.stringify('x'.repeat(bytes));
    return (await fetch(`${server.url}/Flag`, { method: 'POST', headers: json('canary-token-7f3a'), body })).status;
  };
  t.equal(await send(1_000_000), 200);
  t.equal(await send(1_100_000), 413);
});
