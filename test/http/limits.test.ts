import t from 'tap';
import { buildRateLimit } from '../../src/http/rate-limit.ts';
import { networkOf } from '../../src/net/address.ts';
import { waitUntil } from '../support/wait-until.ts';
import { issueOf, rawExchange, startServer, token } from './start-server.ts';

const authorization = { authorization: token };
const json = { ...authorization, 'content-type': 'application/fhir+json' };
const head = `Host: localhost\r\nAuthorization: ${token}\r\n`;
const statusLine = (text: string): string => text.split('\r\n', 1)[0] ?? '';

t.test('each network has a rate limit of its own, and networks above the maximum share one', async (t) => {
  let nowMs = 0;
  const budget = buildRateLimit({ perSecond: 10, burst: 3, maxKeys: 2, nowMs: () => nowMs });
  const spends = (address: string, times: number): boolean[] =>
    Array.from({ length: times }, () => budget.admit(networkOf(address)));
  t.strictSame(spends('192.0.2.1', 4), [true, true, true, false]);
  t.strictSame(spends('::ffff:192.0.2.1', 1), [false], 'the same address, mapped into IPv6');
  t.strictSame(spends('2001:db8::1', 2), [true, true]);
  t.strictSame(spends('2001:DB8:0:0:9::2', 2), [true, false], 'the same network of 64 bits');
  t.strictSame(spends('192.0.2.3', 2), [true, true], 'the table is full');
  t.strictSame(spends('192.0.2.4', 2), [true, false], 'the others share one budget');
  nowMs += 100;
  t.strictSame(spends('192.0.2.1', 2), [true, false], 'one more in a tenth of a second');
  nowMs += 60_000;
  t.strictSame(spends('192.0.2.5', 4), [true, true, true, false], 'a full budget makes place');
  t.strictSame(spends('192.0.2.1', 4), [true, true, true, false], 'and is no fuller after a minute');
});

t.test('a network that sends too many requests without a token gets 429 and is not audited', async (t) => {
  const server = await startServer({ limits: { unauthenticatedBurst: 20, unauthenticatedPerSecond: 0.001 } });
  t.teardown(server.close);
  const long = `${server.url}/Flag?patient=${'x'.repeat(10_000)}`;
  const statuses = await Promise.all(Array.from({ length: 50 }, async () => (await fetch(long)).status));
  t.strictSame(
    [401, 429].map((status) => statuses.filter((given) => given === status).length),
    [20, 30],
  );
  t.equal(server.refused.length, 20);
  t.equal(server.refused[0]?.raw, `GET Flag?patient=${'x'.repeat(1_000)}`.slice(0, 256));
  const refused = await fetch(server.url, { headers: { authorization: 'Bearer wrong' } });
  t.equal(refused.status, 429);
  t.match(refused.headers.get('retry-after'), /^[1-9]\d*$/);
  t.match(await issueOf(refused), { code: 'throttled', spine: 'TOO_MANY_REQUESTS' });
  t.match(await server.metrics.metrics(), /^http_unauthenticated_throttled_total 31$/m);
  t.equal((await fetch(`${server.url}/Flag/a`, { headers: authorization })).status, 200, 'a token is still good');
  t.equal((await fetch(long.replace('Flag?', 'Nope?'), { headers: authorization })).status, 404);
  t.ok((server.refused.at(-1)?.raw.length ?? 0) > 10_000, 'what a client sends is kept whole');
});

t.test('a body is refused for its size, its time and its compression', async (t) => {
  const server = await startServer({ limits: { bodyLimitBytes: 10_000, requestTimeoutMs: 600 } });
  t.teardown(server.close);
  const post = (body: RequestInit['body'], more: RequestInit & { duplex?: 'half' } = {}) =>
    fetch(`${server.url}/Flag`, { method: 'POST', headers: json, body: body ?? null, ...more });

  t.equal((await post(`"${'x'.repeat(9_998)}"`)).status, 200, 'exactly at the limit');
  const tooLarge = await post(`"${'x'.repeat(9_999)}"`);
  t.equal(tooLarge.status, 413);
  t.match(await issueOf(tooLarge), { code: 'too-long', spine: 'INVALID_REQUEST_MESSAGE' });
  t.equal((await post('x'.repeat(3_000_000))).status, 413);
  const stream = new ReadableStream({
    start(controller) {
      for (let part = 0; part < 20; part++) controller.enqueue(new TextEncoder().encode('x'.repeat(1_000)));
      controller.close();
    },
  });
  t.equal((await post(stream, { duplex: 'half' })).status, 413, 'chunked');
  t.equal((await post('{}', { headers: { ...json, 'content-encoding': 'gzip' } })).status, 415);
  const form = await fetch(`${server.url}/Flag/_search`, {
    method: 'POST',
    headers: { ...authorization, 'content-type': 'application/x-www-form-urlencoded' },
    body: `patient=${'9'.repeat(40_000)}`,
  });
  t.equal(form.status, 413);

  const endless = Array.from({ length: 40 }, () => `1000\r\n${'x'.repeat(0x1000)}\r\n`);
  const chunked = await rawExchange(
    server.port,
    [
      `POST /FHIR/R4/Flag HTTP/1.1\r\n${head}Content-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n`,
      ...endless,
    ],
    { gapMs: 20 },
  );
  t.match(chunked.text, /^HTTP\/1\.1 413 /, 'an endless chunked body is answered while it is still sent');

  const slow = await rawExchange(server.port, [
    `POST /FHIR/R4/Flag HTTP/1.1\r\n${head}Content-Type: application/fhir+json\r\nContent-Length: 100\r\n\r\n{`,
  ]);
  t.match(slow.text, /^HTTP\/1\.1 408 /);
  t.match(slow.text, /"resourceType":"OperationOutcome".*"code":"timeout".*UNABLE_TO_CALL_SERVICE/);
  t.ok(slow.closed);
  const slowHeaders = await rawExchange(server.port, ['GET /FHIR/R4/Flag HTTP/1.1\r\nHost: localhost\r\nX-Slow: ']);
  t.match(slowHeaders.text, /^HTTP\/1\.1 408 /);
  const largeHeaders = await rawExchange(server.port, [
    `GET /FHIR/R4/Flag HTTP/1.1\r\n${head}X-Large: ${'x'.repeat(20_000)}\r\n\r\n`,
  ]);
  t.match(largeHeaders.text, /^HTTP\/1\.1 431 /);
  t.match(largeHeaders.text, /"code":"too-long"/);
  t.equal((await post('{}')).status, 200, 'alive');
  t.equal(server.performed.length, 2);
});

t.test('above the concurrency limit a request gets 503 at once, and the next one is served', async (t) => {
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = await startServer({
    limits: { maxConcurrent: 2 },
    answer: async ({ id }) => {
      await released;
      if (id === 'b') throw new Error('it failed');
      return { kind: 'ok', body: '{}' };
    },
  });
  t.teardown(server.close);
  const get = (id: string) => fetch(`${server.url}/Flag/${id}`, { headers: authorization });
  const held = [get('a'), get('b')];
  await waitUntil('two are performed', () => server.performed.length === 2);
  const shed = await get('c');
  t.equal(shed.status, 503);
  t.ok(shed.headers.get('retry-after'));
  t.equal((await fetch(`http://127.0.0.1:${server.port}/health/live`)).status, 200);
  release();
  t.same(
    (await Promise.all(held)).map(({ status }) => status),
    [200, 500],
  );
  t.equal((await get('d')).status, 200);
});

t.test('hostile JSON is refused', async (t) => {
  const server = await startServer({ limits: { bodyLimitBytes: 32 * 1024 * 1024 } });
  t.teardown(server.close);
  const before = process.memoryUsage().rss;
  const bodies: readonly (readonly [string, string | Uint8Array])[] = [
    ['depth of 100,000', '['.repeat(100_000)],
    ['depth of 100,000, closed', '{"a":'.repeat(100_000) + 1 + '}'.repeat(100_000)],
    ['80,000 keys', `{${Array.from({ length: 80_000 }, (_, index) => `"k${index}":1`).join(',')}}`],
    ['a number of a million digits', `{"a":${'9'.repeat(1_000_000)}}`],
    ['__proto__', '{"__proto__":{"polluted":true}}'],
    ['constructor.prototype', '{"constructor":{"prototype":{"polluted":true}}}'],
    ['toString', '{"toString":1}'],
    ['an equal name', '{"resourceType":"Flag","resourceType":"Patient"}'],
    ['an equal name, escaped', '{"a":1,"\\u0061":2}'],
    ['invalid UTF-8', new Uint8Array([0x22, 0xff, 0x22])],
    ['overlong UTF-8', new Uint8Array([0x22, 0xc0, 0xaf, 0x22])],
    ['a lone surrogate', '"\\ud800"'],
    ['a byte order mark', new Uint8Array([0xef, 0xbb, 0xbf, 0x7b, 0x7d])],
    ['UTF-16', new Uint8Array([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00])],
    ['NUL', '{"a":"\\u0000"}'],
    ['XML', '<Flag xmlns="http://hl7.org/fhir"/>'],
    ['nothing', ''],
  ];
  for (const [name, body] of bodies) {
    const response = await fetch(`${server.url}/Flag`, { method: 'POST', headers: json, body: body as string });
    t.equal(response.status, 400, name);
    t.equal((await issueOf(response)).code, 'structure', name);
  }
  t.equal(({} as { polluted?: unknown }).polluted, undefined);
  t.equal(server.performed.length, 0);
  t.equal(server.refused.length, bodies.length);
  t.ok(process.memoryUsage().rss - before < 400_000_000);
});

t.test('malformed queries are refused', async (t) => {
  const server = await startServer();
  t.teardown(server.close);
  const longest = 'a'.repeat(8_000);
  for (const query of [
    'patient[$ne]=',
    'patient[]=a',
    'patient%5B%24ne%5D=1',
    '$where=1',
    '__proto__=1',
    'constructor=1',
    'toString=1',
    'patient=%00',
    'patient=a%0d%0aSet-Cookie:x',
    'patient=%ff',
    'patient=%c0%af',
    'patient=%ed%a0%80',
    'patient=%',
    'patient=%zz',
    '=1',
    `${'a'.repeat(200)}=1`,
    Array.from({ length: 300 }, () => 'a=1').join('&'),
  ]) {
    const response = await fetch(`${server.url}/Flag?${query}`, { headers: authorization });
    t.equal(response.status, 400, query.slice(0, 40));
    const { diagnostics } = await issueOf(response);
    t.notMatch(diagnostics, query.slice(0, 40));
  }
  t.equal(server.performed.length, 0);
  for (const query of [
    '',
    '&&',
    'patient=.*(a%2B)%2B%24',
    `patient=${longest}`,
    'patient=&patient',
    'a=b=c&d=%F0%9F%98%80',
  ]) {
    const response = await fetch(`${server.url}/Flag?${query}`, { headers: authorization });
    t.equal(response.status, 200, query.slice(0, 40));
  }
  t.strictSame(
    server.performed.map(({ request }) => request.query),
    [
      [],
      [],
      [['patient', '.*(a+)+$']],
      [['patient', longest]],
      [
        ['patient', ''],
        ['patient', ''],
      ],
      [
        ['a', 'b=c'],
        ['d', '😀'],
      ],
    ],
  );
});

t.test(
  'raw sockets: a request that two parsers could read in two ways is refused, and the connection closed',
  async (t) => {
    const server = await startServer();
    t.teardown(server.close);
    const get = (lines: string, target = '/FHIR/R4/Flag?patient=9990000018') =>
      `GET ${target} HTTP/1.1\r\n${head}${lines}\r\n`;
    const post = (lines: string, body: string) =>
      `POST /FHIR/R4/Flag HTTP/1.1\r\n${head}Content-Type: application/fhir+json\r\n${lines}\r\n${body}`;

    const fatal: readonly (readonly [string, string])[] = [
      ['CL and TE', post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\nGET /x HTTP/1.1\r\n\r\n')],
      ['two CL', post('Content-Length: 2\r\nContent-Length: 3\r\n', '{} ')],
      ['signed CL', post('Content-Length: +2\r\n', '{}')],
      ['list CL', post('Content-Length: 2, 2\r\n', '{}')],
      ['xchunked', post('Transfer-Encoding: xchunked\r\n', '0\r\n\r\n')],
      ['TE twice', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n', '0\r\n\r\n')],
      ['chunk size', post('Transfer-Encoding: chunked\r\n', '0x2\r\n{}\r\n0\r\n\r\n')],
      ['space before colon', get('X-A : b\r\n')],
      ['obs-fold', get('X-A: b\r\n c\r\n')],
      ['bare LF', get('X-A: b\nX-B: c\r\n')],
      ['bare CR', get('X-A: b\rX-B: c\r\n')],
      ['NUL in a header', get('X-A: b\0c\r\n')],
      ['no host', 'GET /FHIR/R4/Flag HTTP/1.1\r\n\r\n'],
      ['HTTP/3.7', 'GET / HTTP/3.7\r\nHost: a\r\n\r\n'],
      ['garbage', '\x16\x03\x01\x02\x00\x01\x00'],
      ['space in target', get('', '/FHIR/R4/Flag? patient=1')],
    ];
    for (const [name, request] of fatal) {
      const { text, closed } = await rawExchange(server.port, [Buffer.from(request, 'latin1')]);
      t.match(statusLine(text), /^HTTP\/1\.1 400 /, name);
      t.ok(closed, `${name}: closed`);
      t.equal(text.split('HTTP/1.1 ').length, 2, `${name}: one answer`);
    }

    const refused: readonly (readonly [string, string])[] = [
      ['two Host', get('Host: other\r\n')],
      ['two Authorization', get('Authorization: Bearer other\r\n')],
      ['two equal Authorization', get(`authorization: ${token}\r\n`)],
      ['two X-Request-ID', get('X-Request-ID: a\r\nx-request-id: b\r\n')],
      ['two X-Correlation-ID', get('X-Correlation-ID: a\r\nX-Correlation-ID: b\r\n')],
      ['two IsUnscheduledAccessEvent', get('IsUnscheduledAccessEvent: true\r\nisunscheduledaccessevent: false\r\n')],
      ['two If-Match', get('If-Match: W/"1"\r\nIf-Match: W/"2"\r\n')],
      ['absolute-form', get('', 'http://localhost/FHIR/R4/Flag?patient=9990000018')],
      ['network path', get('', '//localhost/FHIR/R4/Flag')],
      ['asterisk', `OPTIONS * HTTP/1.1\r\n${head}\r\n`],
      ['fragment', get('', '/FHIR/R4/Flag?patient=9990000018#a')],
    ];
    for (const [name, request] of refused) {
      const { text } = await rawExchange(server.port, [request.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')]);
      t.match(statusLine(text), /^HTTP\/1\.1 400 /, name);
      t.match(text, /"resourceType":"OperationOutcome"/, name);
    }
    t.equal(server.performed.length, 0);

    const split = await rawExchange(server.port, [
      get('X-Correlation-ID: a\r\n Set-Cookie: b\r\n'),
      get('X-Request-ID: 4564a191\r\nConnection: close\r\n'),
    ]);
    t.notMatch(split.text, /set-cookie/i);
    const rawBytes = await rawExchange(server.port, [
      Buffer.from(get('Connection: close\r\n', '/FHIR/R4/Flag?patient=\xe9'), 'latin1'),
    ]);
    t.match(statusLine(rawBytes.text), /^HTTP\/1\.1 400 /);
    const connectMethod = await rawExchange(server.port, ['CONNECT localhost:1 HTTP/1.1\r\nHost: a\r\n\r\n']);
    t.notMatch(connectMethod.text, / 200 /);
    const alive = await rawExchange(server.port, [get('Connection: close\r\n')]);
    t.match(statusLine(alive.text), /^HTTP\/1\.1 200 /);
  },
);

t.test('log canary: nothing of a request reaches the log, the metrics or an error', async (t) => {
  const canaries = /9990000018|CANARYNAME|canary-token-7f3a|canary%20secret|10\.9\.8\.7/;
  const server = await startServer({
    answer: ({ query }) => {
      if (query.length === 0) throw new RangeError('9990000018 CANARYNAME');
      return { kind: 'ok', body: '{}' };
    },
    limits: { requestTimeoutMs: 800 },
  });
  t.teardown(server.close);
  const answers: string[] = [];
  const send = async (path: string, init: RequestInit = {}): Promise<void> => {
    const response = await fetch(server.url + path, { ...init, headers: { ...authorization, ...init.headers } });
    answers.push(JSON.stringify([...response.headers]), await response.text());
  };
  const body = '{"resourceType":"Patient","id":"9990000018","name":[{"family":"CANARYNAME"}]';
  await send('/Flag?patient=9990000018');
  await send('/Flag/9990000018');
  await send('/Nope/9990000018?name=CANARYNAME');
  await send('/Flag/9990000018/_history/CANARYNAME');
  await send('/Flag?patient[9990000018]=CANARYNAME');
  await send('/Flag/%ff9990000018CANARYNAME');
  await send(`/Flag/9990000018${'x'.repeat(300)}`);
  await send('/Flag', { headers: { 'x-request-id': '9990000018', 'x-correlation-id': 'CANARY NAME' } });
  await send('/Flag', { headers: { 'x-forwarded-for': '10.9.8.7', accept: 'text/CANARYNAME' } });
  await send('/Flag?_format=CANARYNAME');
  await send('/Flag', { method: 'POST', headers: json, body });
  await send('/Flag', { method: 'POST', headers: json, body: `${body},"id":1}` });
  await send('/Flag', { method: 'POST', headers: json, body: `${body}}` });
  await send('/Flag', { method: 'POST', headers: { 'content-type': 'text/CANARYNAME' }, body });
  await send('', { method: 'POST', headers: json, body: `${body}}` });
  await send('/Flag/9990000018', { method: 'DELETE', headers: { authorization: 'Bearer canary-token-7f3a-wrong' } });
  for (const raw of [
    'GET /FHIR/R4/Flag?patient=9990000018 CANARYNAME HTTP/1.1\r\nHost: a\r\n\r\n',
    `GET http://CANARYNAME/FHIR/R4/Flag?patient=9990000018 HTTP/1.1\r\n${head}Connection: close\r\n\r\n`,
    `POST /FHIR/R4/Flag HTTP/1.1\r\n${head}Content-Type: application/fhir+json\r\nContent-Length: 900\r\n\r\n${body}`,
  ]) {
    answers.push((await rawExchange(server.port, [raw])).text);
  }
  t.ok(server.log.length > 18);
  t.notMatch(server.log.join(''), canaries);
  t.notMatch(await server.metrics.metrics(), canaries);
  t.notMatch(answers.join('\n'), canaries);
  t.notMatch(server.log.join(''), /RXX01|127\.0\.0\.1"/, 'nor who or where, but for the client id');
});
