import { IncomingMessage } from 'node:http';
import { Socket } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { buildClientAddress, type ForwardingOptions } from '../../src/http/client-address.ts';
import { parseAddress } from '../../src/net/address.ts';
import { startServer, token } from './start-server.ts';

const proxy = { trustedProxies: ['127.0.0.1', '10.0.0.0/8', '2001:db8:ffff::/48'] };

/** Returns the address that a server on loopback, behind `proxy`, records for a request with these headers. */
async function recordedFor(rows: readonly Readonly<Record<string, string>>[], forwarding: ForwardingOptions = proxy) {
  const server = await startServer({ forwarding });
  for (const headers of rows) {
    await fetch(`${server.url}/Flag?patient=1`, { headers: { authorization: token, ...headers } });
  }
  await server.close();
  return server.performed.map(({ context }) => context.clientAddress);
}

t.test('the usual forms of a forwarded address are read', async (t) => {
  const rows: readonly (readonly [string, string])[] = [
    ['203.0.113.7', '203.0.113.7'],
    ['203.0.113.7:51234', '203.0.113.7'],
    ['  203.0.113.7  ', '203.0.113.7'],
    ['2001:DB8::7', '2001:db8::7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:51234', '2001:db8::7'],
    ['::ffff:203.0.113.7', '203.0.113.7'],
    ['[::ffff:203.0.113.7]:443', '203.0.113.7'],
    ['198.51.100.1, 203.0.113.7', '203.0.113.7'],
    ['198.51.100.1, 203.0.113.7:9, 10.1.2.3', '203.0.113.7'],
    ['203.0.113.7, [2001:db8:ffff::1]:443, 10.1.2.3:80', '203.0.113.7'],
    ['unknown, 203.0.113.7', '203.0.113.7'],
    ['"open, 203.0.113.7', '203.0.113.7'],
    ['10.9.9.9, 10.1.2.3', '10.9.9.9'],
  ];
  const plain = await recordedFor(rows.map(([value]) => ({ 'x-forwarded-for': value })));
  t.strictSame(
    plain,
    rows.map(([, address]) => address),
  );
  const forwarded: readonly (readonly [string, string])[] = [
    ['for=203.0.113.7', '203.0.113.7'],
    ['For="203.0.113.7:51234";proto=https;by=10.0.0.1', '203.0.113.7'],
    ['proto=https; for="[2001:db8::7]:51234"; host="cpis.example.org:443"', '2001:db8::7'],
    ['for="[2001:DB8::7]"', '2001:db8::7'],
    ['for="203.0.113.7:_port"', '203.0.113.7'],
    ['for=unknown, for=203.0.113.7', '203.0.113.7'],
    ['for="open, for=203.0.113.7', '203.0.113.7'],
    ['for=203.0.113.7, for=10.1.2.3;by=_hidden', '203.0.113.7'],
  ];
  t.strictSame(
    await recordedFor(forwarded.map(([value]) => ({ forwarded: value }))),
    forwarded.map(([, address]) => address),
  );
});

t.test('anything else is the address of the connection, and never text', async (t) => {
  const nodes = [
    'unknown',
    '_hidden',
    'x'.repeat(3000),
    'Jane Doe 9990000018',
    '<script>alert(1)</script>',
    '203.0.113.7:99999',
    '203.0.113.7:',
    '203.0.113.7:http',
    '203.0.113.7 8080',
    '203.0.113.007',
    '203.0.113',
    '0x7f.0.0.1',
    '2130706433',
    '[2001:db8::7',
    '2001:db8::7]',
    '[2001:db8::7]51234',
    '[fe80::1%25eth0]:1',
    'fe80::1%eth0',
    'http://203.0.113.7/',
    'example.org',
    '',
    ',',
    '10.1.2.3, unknown',
    'unknown, 10.1.2.3',
  ];
  const forwarded = [
    ...nodes.map((node) => `for="${node.replaceAll('"', '')}"`),
    'for',
    'for=',
    '203.0.113.7',
    'by=203.0.113.7',
    'for=203.0.113.7;for=203.0.113.8',
    'for=[2001:db8::7]',
    'for="203.0.113.7"x',
    'for = 203.0.113.7',
  ];
  const headers = [
    ...nodes.map((value) => ({ 'x-forwarded-for': value })),
    ...forwarded.map((value) => ({ forwarded: value })),
    { 'x-real-ip': '203.0.113.7' },
    { 'true-client-ip': '203.0.113.7' },
  ];
  const all = await recordedFor(headers);
  t.equal(all.length, headers.length);
  for (const [index, address] of all.entries())
    t.equal(address, '127.0.0.1', JSON.stringify(headers[index]).slice(0, 90));
});

t.test('only trusted proxies are believed, and only in the header that they write', async (t) => {
  const headers = [{ 'x-forwarded-for': '203.0.113.7' }, { forwarded: 'for=203.0.113.7' }];
  t.strictSame(await recordedFor(headers, { trustedProxies: [] }), ['127.0.0.1', '127.0.0.1']);
  t.strictSame(await recordedFor(headers, { trustedProxies: ['127.0.0.2', '::1'] }), ['127.0.0.1', '127.0.0.1']);
  const both = [{ 'x-forwarded-for': '203.0.113.7', forwarded: 'for=198.51.100.9' }];
  t.strictSame(await recordedFor(both), ['203.0.113.7']);
  t.strictSame(await recordedFor(both, { ...proxy, header: 'forwarded' }), ['198.51.100.9']);
  t.strictSame(await recordedFor(both, { ...proxy, header: 'x-forwarded-for' }), ['203.0.113.7']);
  t.strictSame(await recordedFor(headers, { ...proxy, header: 'forwarded' }), ['127.0.0.1', '203.0.113.7']);
});

t.test('whatever a header holds, the result is an address', async () => {
  const clientAddress = buildClientAddress(proxy);
  const part = fc.oneof(
    fc.string(),
    fc.ipV4(),
    fc.ipV6(),
    fc.constantFrom(',', ';', '"', 'for=', '[', ']', ':', '10.0.0.1', 'unknown', '_x', ' '),
  );
  fc.assert(
    fc.property(fc.constantFrom('forwarded', 'x-forwarded-for'), fc.array(part, { maxLength: 8 }), (name, parts) => {
      const socket = new Socket();
      Object.defineProperty(socket, 'remoteAddress', { value: '10.0.0.1' });
      const request = new IncomingMessage(socket);
      request.headers[name] = parts.join('');
      const address = clientAddress(request);
      return parseAddress(address) === address;
    }),
    { seed: 15, numRuns: 500 },
  );
});

t.test(
  'the limit of requests without a token counts the network behind the proxy, whatever port or form it is sent in',
  async (t) => {
    const server = await startServer({
      forwarding: proxy,
      limits: { unauthenticatedPerSecond: 0.001, unauthenticatedBurst: 3 },
    });
    const statusFor = async (address: string): Promise<number> =>
      (await fetch(`${server.url}/Flag?patient=1`, { headers: { 'x-forwarded-for': address } })).status;
    const one = ['203.0.113.7', '203.0.113.7:1', '[::ffff:203.0.113.7]:2', '::ffff:cb00:7107', '203.0.113.7:3'];
    const two = ['2001:db8::1', '[2001:db8::2]:5', '[2001:DB8::a:b:c:d]', '2001:db8:0:0:ffff::'];
    t.strictSame(await Promise.all(one.map(statusFor)).then((all) => all.filter((status) => status === 429).length), 2);
    t.strictSame(await Promise.all(two.map(statusFor)).then((all) => all.filter((status) => status === 429).length), 1);
    t.equal(await statusFor('203.0.113.8'), 401);
    await server.close();
  },
);
