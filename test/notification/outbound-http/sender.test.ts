import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:https';
import { type AddressInfo, connect, createServer as createTcpServer } from 'node:net';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { findFreePort } from '../../../src/net/find-free-port.ts';
import { openSender, type SenderOptions } from '../../../src/notification/outbound-http/sender.ts';
import { openReceiver } from '../../support/receiver.ts';
import { makeTempFolder } from '../../support/temp-folder.ts';
import { waitUntil } from '../../support/wait-until.ts';

function sender(test: Test, more: Partial<SenderOptions> = {}) {
  const opened = openSender({
    resolve: async () => [{ address: '127.0.0.1', family: 4 }],
    allowLoopback: true,
    connectTimeoutMs: 30_000,
    // Only a test that has failed reaches it.
    deadlineMs: 60_000,
    responseCapBytes: 65_536,
    connectionsPerOrigin: 2,
    now: Date.now,
    sign: () => [],
    ...more,
  });
  test.teardown(() => opened.close());
  const signing = { id: 'event-1', secrets: [] };
  return (url: string, body = '{}') =>
    opened.send({ method: 'PUT', url, headers: ['X-Same', '1', 'X-Same', '2'], body, signing });
}

async function receiver(test: Test) {
  const opened = await openReceiver();
  test.teardown(() => opened.close());
  return opened;
}

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

function opensslMissing(): string | false {
  try {
    execFileSync('openssl', ['version'], { stdio: 'ignore' });
    return false;
  } catch {
    return 'no openssl here to make certificates';
  }
}

/** Makes a certificate for la.test that expired in 2020. */
function certifyInThePast(folder: string, keyFile: string): string {
  const config = [
    ...['[ca]', 'default_ca=own', '[own]', 'database=index.txt', 'new_certs_dir=.', 'serial=serial'],
    ...['default_md=sha256', 'policy=any', 'x509_extensions=names', '[any]', 'commonName=supplied'],
    ...['[names]', 'subjectAltName=DNS:la.test', '[req]', 'distinguished_name=none', '[none]'],
  ];
  writeFileSync(join(folder, 'ca.cnf'), `${config.join('\n')}\n`);
  writeFileSync(join(folder, 'index.txt'), '');
  writeFileSync(join(folder, 'serial'), '01\n');
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  run('req', '-new', '-key', keyFile, '-out', 'past.csr', '-subj', '/CN=la.test', '-config', 'ca.cnf');
  const dates = ['-startdate', '20200101000000Z', '-enddate', '20200102000000Z'];
  const files = ['-config', 'ca.cnf', '-keyfile', keyFile, '-in', 'past.csr', '-out', 'past.pem'];
  run('ca', '-selfsign', '-batch', '-notext', ...files, ...dates);
  return readFileSync(join(folder, 'past.pem'), 'utf8');
}

t.test('case 20: TLS that cannot be verified is a failure, never plaintext', { skip: opensslMissing() }, async (t) => {
  const folder = makeTempFolder(t);
  const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:P-256',
      '-nodes',
      '-days',
      '2',
      '-subj',
      '/CN=la.test',
    ].concat('-addext', 'subjectAltName=DNS:la.test', '-keyout', keyFile, '-out', certFile),
    { stdio: 'ignore' },
  );
  const cert = readFileSync(certFile, 'utf8');
  const requests: string[] = [];
  const serve = async (more: object) => {
    const server = createServer({ key: readFileSync(keyFile), cert, ...more }, (request, response) => {
      requests.push(request.url ?? '');
      request.resume();
      response.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    t.teardown(() => server.close());
    const address = server.address();
    return typeof address === 'object' ? address?.port : 0;
  };
  const port = await serve({});
  const old = await serve({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' });
  const trusting = sender(t, { ca: cert });
  t.match(await trusting(`https://la.test:${port}/a`), { kind: 'acknowledged' });

  // The endpoint requires a client certificate and has its own certificate authority: both are set for its origin only.
  const asking = await serve({ requestCert: true, rejectUnauthorized: true, ca: cert });
  const tls = new Map([[`https://la.test:${asking}`, { cert, key: readFileSync(keyFile, 'utf8'), ca: cert }]]);
  const known = sender(t, { tls });
  t.match(await known(`https://la.test:${asking}/mutual`), { kind: 'acknowledged' });
  t.match(
    await known(`https://la.test:${port}/elsewhere`),
    { reason: 'tls' },
    'nothing of it holds for another origin',
  );
  t.match(await trusting(`https://la.test:${asking}/bare`), { kind: 'failed' }, 'without the certificate');
  t.match(await sender(t)(`https://la.test:${port}/b`), { reason: 'tls' }, 'unknown issuer');
  t.match(await trusting(`https://other.test:${port}/c`), { reason: 'tls' }, 'another name');
  t.match(await trusting(`https://la.test:${old}/d`), { reason: 'tls' }, 'TLS 1.1');
  const expired = certifyInThePast(folder, keyFile);
  const past = await serve({ cert: expired });
  t.match(
    await sender(t, { ca: expired })(`https://la.test:${past}/x`),
    { reason: 'tls' },
    'expired, otherwise trusted',
  );
  const plain = await receiver(t);
  t.match(await trusting(`https://la.test:${plain.port}/e`), { reason: 'tls' }, 'no TLS at all');
  t.same(requests, ['/a', '/mutual']);
  t.same(plain.received, []);
});

/** Makes a certificate authority with one valid and one revoked client certificate. */
function makeClientCertificates(folder: string) {
  const run = (...args: string[]) => execFileSync('openssl', args, { cwd: folder, stdio: 'ignore' });
  const config = [
    ...[
      '[ca]',
      'default_ca=own',
      '[own]',
      'database=index.txt',
      'new_certs_dir=.',
      'serial=serial',
      'crlnumber=serial',
    ],
    ...['default_md=sha256', 'policy=any', 'default_days=2', 'default_crl_days=2', 'certificate=ca.pem'],
    ...['private_key=ca.key', '[any]', 'commonName=supplied'],
  ];
  writeFileSync(join(folder, 'ca.cnf'), `${config.join('\n')}\n`);
  writeFileSync(join(folder, 'index.txt'), '');
  writeFileSync(join(folder, 'serial'), '01\n');
  const ec = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  run('req', '-x509', ...ec, '-days', '2', '-subj', '/CN=ca', '-keyout', 'ca.key', '-out', 'ca.pem');
  for (const name of ['good', 'revoked']) {
    run('req', ...ec, '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
    run('ca', '-batch', '-notext', '-config', 'ca.cnf', '-in', `${name}.csr`, '-out', `${name}.pem`);
  }
  run('ca', '-config', 'ca.cnf', '-revoke', 'revoked.pem');
  run('ca', '-config', 'ca.cnf', '-gencrl', '-out', 'crl.pem');
  const san = ['-addext', 'subjectAltName=DNS:la.test'];
  run('req', '-x509', ...ec, '-days', '2', '-subj', '/CN=la.test', ...san, '-keyout', 'la.key', '-out', 'la.pem');
  return (name: string) => readFileSync(join(folder, name), 'utf8');
}

t.test('case 20: a client certificate that the authority has revoked', { skip: opensslMissing() }, async (t) => {
  const folder = makeTempFolder(t);
  const read = makeClientCertificates(folder);
  const requests: string[] = [];
  const server = createServer(
    { key: read('la.key'), cert: read('la.pem'), requestCert: true, ca: read('ca.pem'), crl: read('crl.pem') },
    (request, response) => {
      requests.push(request.url ?? '');
      request.resume();
      response.end();
    },
  );
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => server.close());
  const as = (name: string, port: number) => {
    const own = { cert: read(`${name}.pem`), key: read(`${name}.key`), ca: read('la.pem') };
    const send = sender(t, { tls: new Map([[`https://la.test:${port}`, own]]) });
    return (path: string) => send(`https://la.test:${port}${path}`);
  };
  const { port } = server.address() as AddressInfo;
  t.match(await as('good', port)('/good'), { kind: 'acknowledged' });
  t.match(await as('revoked', port)('/revoked'), { kind: 'failed', endpointAlive: false });
  t.same(requests, ['/good']);

  // OpenSSL's server reports why it refuses a certificate; in TLS 1.3 after the handshake.
  for (const version of ['-tls1_2', '-tls1_3']) {
    const otherPort = await findFreePort();
    const args = [
      ...['s_server', '-accept', `127.0.0.1:${otherPort}`, '-cert', 'la.pem', '-key', 'la.key', '-CAfile', 'ca.pem'],
      ...['-Verify', '1', '-verify_return_error', '-crl_check', '-CRL', 'crl.pem', '-quiet', version],
    ];
    const other = spawn('openssl', args, { cwd: folder, stdio: 'ignore' });
    t.teardown(() => other.kill());
    await waitUntil('openssl accepts connections', () => accepts(otherPort));
    const refused = await as('revoked', otherPort)('/');
    t.same(refused, { kind: 'failed', reason: 'tls', endpointAlive: false }, version);
    other.kill();
  }
});

const accepts = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(() => resolve(true))).on('error', () => resolve(false));
  });
