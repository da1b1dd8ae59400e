/** The adapter against `cpis stand-in-pds`, a process of its own, over real connections. */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'tap';
import { systemClock } from '../../src/clock/clock.ts';
import { openPds, type PdsOptions } from '../../src/demographics/pds/open-pds.ts';
import { buildHostResolver } from '../../src/notification/outbound-http/resolve-host.ts';
import { openSqliteStore } from '../../src/store/sqlite/open-sqlite-store.ts';
import type { Store } from '../../src/store/store.ts';
import { type StandInPdsProcess, startStandInPds } from '../../src/synthetic/stand-in-pds-process.ts';
import { makeClientKeys } from '../support/keys.ts';
import { makeTempFolder } from '../support/temp-folder.ts';

let pds: StandInPdsProcess;
let store: Store;
let options: PdsOptions;
let outcomes: string[] = [];
const folder = makeTempFolder({ teardown: (close) => process.once('exit', close) });
const availability: boolean[] = [];

test('open the stand-in', async (t) => {
  const keyFile = join(folder, 'key.json');
  const { privateJwk } = await makeClientKeys('test', 'RS512');
  writeFileSync(keyFile, JSON.stringify(privateJwk), { mode: 0o600 });
  pds = await startStandInPds(keyFile);
  process.once('exit', pds.killNow);
  store = await openSqliteStore({ folder: join(folder, 'data'), onFatal: t.threw });
  options = {
    baseUrl: pds.settings['CPIS_PDS_URL'] ?? '',
    tokenUrl: pds.settings['CPIS_PDS_TOKEN_URL'] ?? '',
    clientId: 'stand-in',
    privateJwk,
    odsCode: undefined,
    ratePerSecond: 1_000,
    timeoutMs: 20_000,
    cacheAgeMs: 300_000,
    resolve: buildHostResolver(),
    allowLoopback: true,
    store,
    // The timers of the server do not keep a process alive; those of the test must.
    clock: {
      ...systemClock,
      after: (delayMs, run) => {
        const timer = setTimeout(run, delayMs);
        return () => clearTimeout(timer);
      },
    },
    random: Math.random,
    onRequest: (outcome) => outcomes.push(outcome),
    onAvailability: (isAvailable) => availability.push(isAvailable),
  };
});

const openAdapter = (t: { teardown(close: () => unknown): unknown }, changed: Partial<PdsOptions> = {}) => {
  outcomes = [];
  const adapter = openPds({ ...options, ...changed });
  t.teardown(adapter.close);
  return adapter;
};
const requestsOf = async (number: string) => (await pds.requests()).filter((request) => request.number === number);

test('each documented case', async (t) => {
  const { trace } = openAdapter(t);
  t.match(await trace('9990100004'), { kind: 'found', person: { birthDate: '2010-10-22', isSensitive: false } });
  t.match(await trace('9990100012'), { kind: 'superseded', person: { number: '9990100020' } });
  t.same(await trace('9990100039'), { kind: 'invalidated' });
  t.match(await trace('9990100047'), { kind: 'found', person: { isSensitive: true } });
  t.match(await trace('9990100055'), { kind: 'found', person: { isDead: true } });
  t.match(await trace('9990100063'), { kind: 'found', person: { birthDate: undefined } });
  t.match(await trace('9990100136'), { kind: 'found', person: { isSensitive: true } });
  t.match(await trace('9990100144'), { kind: 'found', person: { names: [] } });
  t.same(await trace('9990100152'), { kind: 'not-found' }, 'no such number');
  t.ok(outcomes.every((outcome) => outcome === 'answered'));
});

test('a request that may succeed is repeated under the same id', async (t) => {
  const { trace } = openAdapter(t);
  t.match(await trace('9990100071'), { kind: 'found' }, '408 once');
  t.match(await trace('9990100098'), { kind: 'found' }, '429 twice, with Retry-After');
  t.match(await trace('9990100101'), { kind: 'found' }, '503 once, without FHIR');
  t.same(outcomes, ['status-408', 'answered', 'status-429', 'status-429', 'answered', 'status-503', 'answered']);
  const requests = await requestsOf('9990100098');
  t.equal(requests.length, 3);
  t.equal(new Set(requests.map(({ requestId }) => requestId)).size, 1);
});

test('a match compares what an authority states', async (t) => {
  const { match } = openAdapter(t);
  const stated = { number: '9990100004', names: [{ family: 'SMITH', given: ['Jane'] }], birthDate: '2010-10-22' };
  t.match(await match(stated), { kind: 'compared', birthDate: 'agrees', nameAgrees: true });
  t.match(await match({ ...stated, birthDate: '2010-10-23' }), { birthDate: 'differs', nameAgrees: true });
  t.match(await match({ ...stated, number: '9990100152' }), { kind: 'no-match' });
});

test('an answer is kept, and one request serves all who ask at once', async (t) => {
  await pds.put([{ number: '9990100160', family: 'A', given: ['B'], birthDate: '2015-01-01' }]);
  const { trace } = openAdapter(t);
  await Promise.all(Array.from({ length: 20 }, () => trace('9990100160')));
  t.match(await trace('9990100160'), { kind: 'found' });
  t.equal((await requestsOf('9990100160')).length, 1);
  await pds.put([{ number: '9990100160', supersededBy: '9990100004' }]);
  const fresh = openAdapter(t, { cacheAgeMs: 0 });
  t.match(await fresh.trace('9990100160'), { kind: 'superseded' }, 'the stand-in changes while it runs');
});

test('a token that the platform forgets is requested again', async (t) => {
  const { trace } = openAdapter(t);
  t.match(await trace('9990100004'), { kind: 'found' });
  await pds.revokeTokens();
  t.match(await trace('9990100047'), { kind: 'found' });
  t.same(outcomes, ['answered', 'status-401', 'answered']);
});

test('a client that is not registered is unavailable, not "not found"', async (t) => {
  const { privateJwk } = await makeClientKeys('test', 'RS512');
  for (const wrong of [{ privateJwk }, { clientId: 'another' }, { tokenUrl: `${options.tokenUrl}x` }]) {
    const { trace } = openAdapter(t, wrong);
    t.match(await trace('9990100152'), { kind: 'unavailable' });
    t.match(outcomes, [/^token-status-4/], 'and is not tried again and again');
  }
});

test('an outage: the breaker opens, nothing is lost, and one probe finds the end', async (t) => {
  availability.length = 0;
  const { trace } = openAdapter(t, { timeoutMs: 3_000, cacheAgeMs: 0 });
  await pds.setOutage({ status: 503 });
  t.match(await trace('9990100004'), { kind: 'unavailable' });
  t.match(await trace('9990100004'), { kind: 'unavailable' });
  t.same(availability, [false]);
  const sent = outcomes.length;
  t.match(await trace('9990100004'), { kind: 'unavailable' });
  t.equal(outcomes.length, sent, 'nothing is sent while it is open');
  await pds.setOutage({});
  let last = await trace('9990100004');
  for (let tries = 0; last.kind === 'unavailable' && tries < 600; tries += 1) {
    await new Promise((resolve) => setTimeout(resolve, 50));
    last = await trace('9990100004');
  }
  t.match(last, { kind: 'found' });
  t.same(availability, [false, true]);
});

test('what cannot be reached, is too slow, too large or elsewhere is unavailable', async (t) => {
  const server = createServer((request, response) => {
    if (request.url?.startsWith('/token')) response.end(JSON.stringify({ access_token: 'x', expires_in: '599' }));
    else if (request.url?.startsWith('/large')) response.end('"'.padEnd(300_000, 'x'));
    else if (request.url?.startsWith('/moved')) response.writeHead(302, { location: '/token' }).end();
    else if (request.url?.startsWith('/partly')) response.write('{"resourceType":');
    else if (request.url?.startsWith('/cut'))
      response.writeHead(200, { 'content-length': '99' }).write('{', () => response.destroy());
    else if (request.url?.startsWith('/text')) response.end('<html>');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const cases: readonly [string, Partial<PdsOptions>, RegExp][] = [
    ['silent', { baseUrl: `${origin}/silent`, timeoutMs: 300 }, /^timeout$/],
    ['a body without an end', { baseUrl: `${origin}/partly`, timeoutMs: 300 }, /^timeout$/],
    ['a body cut off', { baseUrl: `${origin}/cut`, timeoutMs: 300 }, /^connection$/],
    ['large', { baseUrl: `${origin}/large`, timeoutMs: 2_000 }, /^too-large$/],
    ['moved', { baseUrl: `${origin}/moved` }, /^status-302$/],
    ['text', { baseUrl: `${origin}/text` }, /^unreadable$/],
    ['closed port', { baseUrl: 'http://127.0.0.1:9', timeoutMs: 300 }, /^connection$/],
    ['no loopback', { allowLoopback: false, timeoutMs: 300 }, /^token-refused-address$/],
    ['private address', { baseUrl: 'https://10.1.2.3/x', timeoutMs: 300 }, /^refused-address$/],
    ['plain http', { baseUrl: 'http://example.org/x', timeoutMs: 300 }, /^refused-address$/],
  ];
  for (const [what, changed, reason] of cases) {
    const { trace } = openAdapter(t, { tokenUrl: `${origin}/token`, ...changed });
    t.match(await trace('9990100004'), { kind: 'unavailable' }, what);
    t.match(outcomes[0], reason, what);
  }
});

test('a record that cannot be read does not open the breaker for others', async (t) => {
  await pds.put([{ number: '9990100160', family: 'A', given: ['B'], birthDate: '2015-02-30' }]);
  availability.length = 0;
  const { trace } = openAdapter(t, { cacheAgeMs: 0 });
  for (let count = 0; count < 4; count += 1) t.match(await trace('9990100160'), { kind: 'unavailable' });
  t.same(outcomes, ['unreadable', 'unreadable', 'unreadable', 'unreadable']);
  t.match(await trace('9990100004'), { kind: 'found' });
  t.same(availability, []);
});

test('a store that fails is no answer either', async (t) => {
  const { trace } = openAdapter(t, { store: { useOnce: () => Promise.reject(new Error('disk')) } });
  t.match(await trace('9990100004'), { kind: 'unavailable' });
  t.same(outcomes, []);
});

test('close the stand-in', async () => {
  await pds.stop();
  await store.close();
});
