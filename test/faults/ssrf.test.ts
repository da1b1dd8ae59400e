/** Case 58 of the fault list: endpoints that lead into this server's own networks are refused at create and at connect. */
import { createServer } from 'node:net';
import t, { type Test } from 'tap';
import { checkEndpoint, type ResolveHost } from '../../src/notification/outbound-http/address-guard.ts';
import { isBlockedAddress } from '../../src/notification/outbound-http/blocked-address.ts';
import { openSender } from '../../src/notification/outbound-http/sender.ts';
import { openReceiver } from '../support/receiver.ts';

const blocked = [
  // Svix and Smokescreen vectors, IANA special-purpose registries.
  ...['0.0.0.0', '0.1.2.3', '10.0.0.1', '10.255.255.255', '100.64.0.0', '100.127.255.255', '127.0.0.1', '127.255.0.1'],
  ...['169.254.0.1', '169.254.169.254', '172.16.0.1', '172.31.255.255', '192.0.0.1', '192.0.0.170', '192.0.2.1'],
  ...['192.88.99.1', '192.168.0.1', '192.168.255.255', '198.18.0.1', '198.19.255.255', '198.51.100.7', '203.0.113.9'],
  ...['224.0.0.1', '239.255.255.255', '240.0.0.1', '255.255.255.255'],
  ...[
    '::',
    '::1',
    '::127.0.0.1',
    '::8.8.8.8',
    '::ffff:127.0.0.1',
    '::ffff:7f00:1',
    '::ffff:10.0.0.1',
    '::ffff:8.8.8.8',
  ],
  ...['64:ff9b::7f00:1', '64:ff9b::8.8.8.8', '64:ff9b:1::1', '100::1', '2001::1', '2001:0:4136:e378::1', '2001:2::1'],
  ...['2001:db8::1', '2002:7f00:1::', '2002:a00:1::1', '3fff::1', '5f00::1', 'fc00::1', 'fd12:3456::1', 'fe80::1'],
  ...['fe80::1%eth0', 'fec0::1', 'ff02::1', '2a00:1450::1%eth0', '4000::1'],
  ...['', 'localhost', '127.1', '2130706433', '[::1]', '1.2.3.4.5'],
];
const open = [
  '8.8.8.8',
  '1.1.1.1',
  '100.63.255.255',
  '100.128.0.1',
  '172.15.0.1',
  '172.32.0.1',
  '192.0.1.1',
  '198.17.0.1',
];
const openV6 = ['2a00:1450:4009::1', '2606:4700::1111', '2001:4860:4860::8888', '2003::1'];

t.test('addresses', async (t) => {
  for (const address of blocked) t.ok(isBlockedAddress(address, false), address);
  for (const address of [...open, ...openV6]) t.notOk(isBlockedAddress(address, false), address);
  t.same(
    blocked.filter((address) => !isBlockedAddress(address, true)),
    ['127.0.0.1', '127.255.0.1', '::1'],
    'loopback, where it is allowed, is all that is',
  );
});

const origins = [
  'https://la.example.org',
  'https://la.example.org:8443',
  'https://8.8.8.8',
  'https://[2606:4700::1111]',
];

t.test('at create', async (t) => {
  const policy = { allowedOrigins: origins, allowLoopback: false };
  for (const endpoint of [
    'https://la.example.org',
    'https://LA.example.org:443/hook?x=1',
    'https://la.example.org:8443/hook',
    'https://8.8.8.8/hook',
    'https://[2606:4700::1111]/hook',
  ]) {
    t.equal(checkEndpoint(endpoint, policy), undefined, endpoint);
  }
  const refused = [
    ...[
      '',
      'la.example.org',
      '//la.example.org',
      '/hook',
      'https:',
      'https:la.example.org',
      'https://',
      42,
      null,
      undefined,
    ],
    ...['file:///etc/passwd', 'gopher://la.example.org/', 'ftp://la.example.org/', 'ws://la.example.org/', 'data:,x'],
    ...['javascript:alert(1)', 'unix:/run/docker.sock', 'http://la.example.org/hook', 'http://127.0.0.1/'],
    ...['https://la.example.org.attacker.test/', 'https://la.example.orgx/', 'https://xla.example.org/'],
    ...['https://la.example.org:444/', 'https://la.example.org:22/', 'https://la.example.org:6379/'],
    ...['https://la.example.org@127.0.0.1/', 'https://user:pass@la.example.org/', 'https://@la.example.org/'],
    ...['https://la.example.org:443@attacker.test/', 'https://attacker.test#@la.example.org/'],
    ...['https://attacker.test\\@la.example.org/', 'https:\\\\la.example.org/', 'https://la.example.org\\hook'],
    ...[
      'https://la.example.org/#x',
      'https://la.example.org/#',
      'https://la.ex\tample.org/',
      'https://la.example.org\n/',
    ],
    ...[
      ' https://la.example.org/',
      'https://la.example.org /',
      'https://la.example.org./hook',
      'https://la\u3002example.org/',
    ],
  ];
  for (const endpoint of refused) t.ok(checkEndpoint(endpoint, policy), `${endpoint}`);
});

t.test('at create, even when the operator registered it', async (t) => {
  const encodings = [
    ...['localhost', 'LOCALHOST', 'localhost.', 'la.localhost', '127.0.0.1', '127.0.0.1.', '127.1', '2130706433'],
    ...['0x7f000001', '0x7f.1', '017700000001', '0177.0.0.1', '0', '10.1', '192.168.0.1', '169.254.169.254'],
    ...['%31%32%37.0.0.1', '[::1]', '[::]', '[::ffff:127.0.0.1]', '[0:0:0:0:0:ffff:7f00:1]', '[64:ff9b::a00:1]'],
    ...['[2002:7f00:1::]', '[fd00::1]', '[fe80::1]', '[fe80::1%25eth0]', '[::ffff:a9fe:a9fe]'],
  ];
  for (const host of encodings) {
    const endpoint = `https://${host}/hook`;
    const origin = URL.canParse(endpoint) ? new URL(endpoint).origin : endpoint;
    t.ok(checkEndpoint(endpoint, { allowedOrigins: [origin], allowLoopback: false }), host);
  }
  const policy = {
    allowedOrigins: ['http://127.0.0.1:8080', 'http://10.0.0.1:8080', 'http://la.example.org'],
    allowLoopback: true,
  };
  t.equal(checkEndpoint('http://127.0.0.1:8080/x', policy), undefined, 'a demonstration on loopback');
  t.ok(checkEndpoint('http://10.0.0.1:8080/x', policy));
  t.ok(checkEndpoint('http://la.example.org/x', policy), 'plain http nowhere else');
});

/** A port on 127.0.0.1 that counts connections: none may arrive. */
async function target(test: Test) {
  const seen = { connections: 0 };
  const server = createServer((socket) => {
    seen.connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  test.teardown(() => new Promise((resolve) => server.close(resolve)));
  const address = server.address();
  return { seen, port: typeof address === 'object' ? (address?.port ?? 0) : 0 };
}

function sender(test: Test, resolve: ResolveHost, allowLoopback = false) {
  const opened = openSender({
    resolve,
    allowLoopback,
    connectTimeoutMs: 1_000,
    deadlineMs: 2_000,
    responseCapBytes: 1_000,
    connectionsPerOrigin: 2,
    now: Date.now,
    sign: () => [],
  });
  test.teardown(() => opened.close());
  const signing = { id: 'event-1', secrets: [] };
  return (url: string) =>
    opened.send({ method: 'POST', url, headers: ['authorization', 'secret'], body: '{}', signing });
}

t.test('at connect: names and literals that lead to a blocked address', async (t) => {
  const { seen, port } = await target(t);
  const answers: Record<string, string[]> = {
    'private.test': ['10.0.0.1'],
    'loopback.test': ['127.0.0.1'],
    'mixed.test': ['93.184.215.14', '127.0.0.1'],
    'mixed-v6.test': ['2606:4700::1111', '::1'],
    'metadata.test': ['169.254.169.254'],
    'mapped.test': ['::ffff:127.0.0.1'],
    'nat64.test': ['64:ff9b::7f00:1'],
    'zone.test': ['fe80::1%lo'],
    localhost: ['127.0.0.1'],
    'localhost.': ['127.0.0.1'],
  };
  const send = sender(t, async (hostname) =>
    (answers[hostname] ?? []).map((address) => ({ address, family: address.includes(':') ? 6 : 4 })),
  );
  const hosts = [
    ...Object.keys(answers),
    '127.0.0.1',
    '2130706433',
    '127.1',
    '0',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[fd00::1]',
  ];
  for (const host of hosts) {
    t.match(
      await send(`https://${host}:${port}/`),
      { kind: 'failed', reason: 'refused-address', endpointAlive: false },
      host,
    );
  }
  t.match(await send(`http://loopback.test:${port}/`), { reason: 'refused-address' }, 'plain http');
  t.match(await send(`https://nowhere.test:${port}/`), { reason: 'dns' });
  t.equal(seen.connections, 0);
});

t.test('at connect: a resolver that changes its answer', async (t) => {
  const { seen, port } = await target(t);
  let asked = 0;
  const send = sender(t, async () => {
    asked += 1;
    return [{ address: asked === 1 ? '192.0.0.1' : '127.0.0.1', family: 4 }];
  });
  t.match(await send(`https://rebinding.test:${port}/`), { reason: 'refused-address' });
  t.match(await send(`https://rebinding.test:${port}/`), { reason: 'refused-address' });
  t.equal(asked, 2, 'one answer for each connection, and that one is checked');
  t.equal(seen.connections, 0);
});

t.test('at connect: where loopback is allowed, the rest stays refused', async (t) => {
  const endpoint = await openReceiver();
  t.teardown(() => endpoint.close());
  const send = sender(
    t,
    async (hostname) => [{ address: hostname === 'localhost' ? '127.0.0.1' : '10.0.0.1', family: 4 }],
    true,
  );
  t.same(await send(`${endpoint.origin}/`), { kind: 'acknowledged', status: 200 });
  t.same(await send(`http://localhost:${endpoint.port}/`), { kind: 'acknowledged', status: 200 });
  t.match(await send(`http://la.test:${endpoint.port}/`), { reason: 'refused-address' });
  t.match(await send(`https://la.test:${endpoint.port}/`), { reason: 'refused-address' });
  t.match(await send(`http://10.0.0.1:${endpoint.port}/`), { reason: 'refused-address' });
  t.equal(endpoint.received.length, 2);
});
