import { once } from 'node:events';
import { copyFileSync, writeFileSync } from 'node:fs';
import { request as requestHttp } from 'node:http';
import { Agent, request } from 'node:https';
import { join } from 'node:path';
import { connect, type PeerCertificate } from 'node:tls';
import type { Parameters } from 'fhir/r4.js';
import { decodeJwt } from 'jose';
import t from 'tap';
import { WebSocket } from 'ws';
import { buildTokenRequest, signClientAssertion } from '../../src/auth/client-assertion.ts';
import { buildLogger } from '../../src/server/logger.ts';
import { openServer } from '../../src/server/open-server.ts';
import { loadSettings } from '../../src/settings/settings.ts';
import { makeSyntheticRegistry, type SyntheticClient } from '../../src/synthetic/synthetic-registry.ts';
import { type Certificate, openCertificateAuthority, opensslMissing } from '../support/certificates.ts';
import { socketSubscription } from '../support/socket-subscription.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

interface Answer {
  readonly status: number;
  readonly body: string;
}

/** Sends one request on a connection of its own, with or without a client certificate. */
function send(url: string, ca: string, client: Certificate | undefined, method = 'GET', body = '', more: object = {}) {
  return new Promise<Answer>((resolve, reject) => {
    const agent = new Agent({ maxCachedSessions: 0 });
    const { cert, key } = client ?? {};
    const sent = request(url, { method, ca, cert, key, agent, ...more }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body: text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function openTlsServer(t: { teardown(close: () => unknown): unknown }, eprChange: object) {
  const folder = makeTempFolder(t);
  const authority = openCertificateAuthority(folder);
  const [mine, others] = [authority.issue('mine'), authority.issue('others')];
  const stranger = openCertificateAuthority(folder, 'stranger').issue('unknown');
  const served = authority.issue('server');
  const registry = await makeSyntheticRegistry({ authorityNames: ['Northmoor'], careProviderNames: ['Hospital'] });
  const { organisations, clients } = registry.json;
  const changed = clients.map((each) => {
    const client = each as { readonly role: string };
    return client.role === 'care-provider' ? { ...client, ...eprChange } : client;
  });
  const registryFile = join(folder, 'registry.json');
  writeFileSync(registryFile, JSON.stringify({ organisations, clients: changed }), { mode: 0o600 });
  const settings = loadSettings({
    CPIS_PORT: '0',
    CPIS_DATA_FOLDER: join(folder, 'data'),
    CPIS_REGISTRY_FILE: registryFile,
    CPIS_TLS_CERT_FILE: served.certFile,
    CPIS_TLS_KEY_FILE: served.keyFile,
    CPIS_TLS_CLIENT_CA_FILE: authority.certFile,
  });
  const server = await openServer(settings, {
    logger: buildLogger({ level: 'silent' }),
    onFatal: (error) => {
      throw error;
    },
  });
  t.teardown(() => server.close());
  const [epr] = registry.careProviders;
  if (epr === undefined) throw new Error('no care provider');
  const call = (path: string, client?: Certificate, token = '') =>
    send(`${server.baseUrl}/${path}`, authority.cert, client, 'GET', '', {
      headers: token === '' ? {} : { authorization: `Bearer ${token}` },
    });
  const askToken = async ({ clientId, privateJwk, scope, iua }: SyntheticClient, client?: Certificate) => {
    const tokenUrl = `${server.origin}/oauth2/token`;
    const identity = { clientId, tokenUrl, privateJwk, nowMs: Date.now(), ...(iua === undefined ? {} : { iua }) };
    const form = buildTokenRequest(await signClientAssertion(identity), scope).toString();
    const headers = { 'content-type': 'application/x-www-form-urlencoded' };
    const { status, body } = await send(tokenUrl, authority.cert, client, 'POST', form, { headers });
    return { status, ...(JSON.parse(body) as { readonly access_token?: string; readonly error?: string }) };
  };
  return { server, registry, authority, served, mine, others, stranger, epr, call, askToken };
}

const lookUp = 'Flag?patient=9990000018';

t.test('a certificate-bound token is good with its certificate only', { skip: opensslMissing() }, async (t) => {
  const { epr, mine, others, stranger, call, askToken, server, authority } = await openTlsServer(t, {});
  t.match(server.baseUrl, /^https:\/\/127\.0\.0\.1:/);
  t.match(server.origin, /^https:\/\/127\.0\.0\.1:/);
  const { access_token: bound = '' } = await askToken(epr, mine);
  t.match(decodeJwt(bound), { cnf: { 'x5t#S256': /^[\w-]{43}$/ } });
  t.equal((await call(lookUp, mine, bound)).status, 200);
  t.equal((await call(lookUp, others, bound)).status, 401, 'another certificate');
  t.equal((await call(lookUp, undefined, bound)).status, 401, 'no certificate');
  await t.rejects(call(lookUp, stranger, bound), 'a certificate of another authority ends the connection');
  t.equal((await call(lookUp, mine, bound)).status, 200);
  const { access_token: free = '' } = await askToken(epr);
  t.notOk('cnf' in decodeJwt(free));
  t.equal((await call(lookUp, undefined, free)).status, 200, 'a certificate is optional');
  const smart = await call('.well-known/smart-configuration', undefined);
  t.match(JSON.parse(smart.body), { tls_client_certificate_bound_access_tokens: true });
  const plain = new Promise<void>((resolve, reject) => {
    requestHttp(`${server.origin.replace('https', 'http')}/health/live`, () => resolve())
      .on('error', reject)
      .end();
  });
  await t.rejects(plain, 'plain HTTP gets no answer');
  const old = { maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' };
  await t.rejects(send(`${server.origin}/health/live`, authority.cert, undefined, 'GET', '', old), 'TLS 1.1');
});

t.test('a client that must be bound gets and uses bound tokens only', { skip: opensslMissing() }, async (t) => {
  const { epr, mine, registry, call, askToken } = await openTlsServer(t, { certificateBoundTokens: true });
  t.match(await askToken(epr), { status: 400, error: 'invalid_request' });
  const { access_token: bound = '' } = await askToken(epr, mine);
  t.equal((await call(lookUp, mine, bound)).status, 200);
  t.equal((await call(lookUp, undefined, bound)).status, 401);
  const { access_token: other = '' } = await askToken(registry.operator);
  t.equal((await call('metadata', undefined, other)).status, 200, 'others are free');
  const metrics = await call('../../metrics', mine, bound);
  t.equal(metrics.status, 403);
});

t.test(
  'a WebSocket binds only over the certificate of the access token that its binding token came from',
  { skip: opensslMissing() },
  async (t) => {
    const { server, authority, registry, mine, others, askToken } = await openTlsServer(t, {});
    const [la] = registry.authorities;
    if (la === undefined) throw new Error('no authority');
    const tokens = { bound: await askToken(la, mine), free: await askToken(la) };
    const ask = (kind: keyof typeof tokens, method: string, path: string, body = '') =>
      send(`${server.baseUrl}/${path}`, authority.cert, kind === 'bound' ? mine : undefined, method, body, {
        headers: {
          authorization: `Bearer ${tokens[kind].access_token}`,
          'content-type': 'application/fhir+json',
        },
      });
    const created = await ask('bound', 'POST', 'Subscription', JSON.stringify(socketSubscription));
    t.equal(created.status, 201, created.body);
    const bind = async (kind: keyof typeof tokens, client?: Certificate) => {
      const { body } = await ask(kind, 'GET', 'Subscription/$get-ws-binding-token');
      const { parameter = [] }: Parameters = JSON.parse(body);
      const token = parameter.find(({ name }) => name === 'token')?.valueString ?? '';
      const url = parameter.find(({ name }) => name === 'websocket-url')?.valueUrl ?? '';
      const { cert, key } = client ?? {};
      const socket = new WebSocket(url, { ca: authority.cert, cert, key });
      t.teardown(() => socket.terminate());
      await once(socket, 'open');
      const first = new Promise<string | number>((resolve) => {
        socket.on('message', (data) => resolve(String(data).includes('handshake') ? 'handshake' : 'other'));
        socket.on('close', resolve);
      });
      socket.send(`bind-with-token ${token}`);
      return first;
    };
    t.equal(await bind('bound', mine), 'handshake');
    t.equal(await bind('bound', others), 1008, 'another certificate');
    t.equal(await bind('bound'), 1008, 'no certificate');
    t.equal(await bind('free'), 'handshake');
    t.equal(await bind('free', others), 'handshake', 'an unbound token needs none');
  },
);

t.test(
  'new connections get the reloaded certificate; files with problems change nothing',
  { skip: opensslMissing() },
  async (t) => {
    const { server, authority, served } = await openTlsServer(t, {});
    const serialOf = () =>
      new Promise<string>((resolve, reject) => {
        const socket = connect(Number(new URL(server.origin).port), '127.0.0.1', { ca: authority.cert }, () => {
          const { serialNumber }: PeerCertificate = socket.getPeerCertificate();
          socket.end();
          resolve(serialNumber);
        });
        socket.on('error', reject);
      });
    const before = await serialOf();
    const next = authority.issue('next');
    copyFileSync(next.certFile, served.certFile);
    t.match(server.reloadTls(), [/CPIS_TLS_CERT_FILE/], 'certificate and key do not belong together yet');
    t.equal(await serialOf(), before);
    copyFileSync(next.keyFile, served.keyFile);
    t.strictSame(server.reloadTls(), []);
    t.not(await serialOf(), before);
    writeFileSync(served.certFile, 'no certificate');
    t.match(server.reloadTls(), [/PEM/]);
    t.equal((await send(`${server.origin}/health/live`, authority.cert, undefined)).status, 200);
  },
);
