import { execFileSync, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { findFreePort } from '../../../src/net/find-free-port.ts';
import { makeTempFolder } from '../../support/temp-folder.ts';
import { receiver } from '../../support/test-receiver.ts';
import { waitUntil } from '../../support/wait-until.ts';
import { sender } from './test-sender.ts';

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
