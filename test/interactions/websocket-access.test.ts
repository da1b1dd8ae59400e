/** What ends an open WebSocket at once: its client, key, organisation or right leaves the registry. */
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Bundle, Parameters } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { type FhirClient, openFhirClient } from '../../src/synthetic/fhir-client.ts';
import { makeClientKeys } from '../support/keys.ts';
import { openWorld, type RunningWorld } from '../support/running-server.ts';
import { socketSubscription } from '../support/socket-subscription.ts';
import { waitUntil } from '../support/wait-until.ts';

const policyViolation = 1008;

async function tokenOf(la: FhirClient): Promise<{ readonly token: string; readonly url: string }> {
  const { status, body } = await la.request<Parameters>('GET', 'Subscription/$get-ws-binding-token');
  if (status !== 200) throw new Error(JSON.stringify(body));
  const part = (name: string) => body.parameter?.find((each) => each.name === name);
  return { token: part('token')?.valueString ?? '', url: part('websocket-url')?.valueUrl ?? '' };
}

async function bind(t: Test, { token, url }: { readonly token: string; readonly url: string }) {
  const socket = new WebSocket(url);
  t.teardown(() => socket.terminate());
  socket.on('error', () => undefined);
  const bundles: Bundle[] = [];
  socket.on('message', (data) => bundles.push(JSON.parse(String(data))));
  const state = { bundles, closed: undefined as number | undefined };
  socket.on('close', (code) => {
    state.closed = code;
  });
  await once(socket, 'open');
  socket.send(`bind-with-token ${token}`);
  return state;
}

async function subscribe({ la }: RunningWorld): Promise<void> {
  const { status, body } = await la.request('POST', 'Subscription', socketSubscription);
  if (status !== 201) throw new Error(JSON.stringify(body));
}

interface ClientEntry {
  readonly clientId: string;
  readonly jwks: { readonly keys: readonly object[] };
  readonly scopes: readonly string[];
}

interface RegistryFile {
  readonly clients: readonly ClientEntry[];
}

async function reloadWith(world: RunningWorld, change: (registry: RegistryFile) => object): Promise<void> {
  const file = join(world.folder, 'registry.json');
  writeFileSync(file, JSON.stringify(change(JSON.parse(readFileSync(file, 'utf8')))));
  const problems = await world.server.reloadRegistry();
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

/** Changes the entry of the first authority's client (undefined takes it out) and reloads the registry. */
function reload(world: RunningWorld, change: (entry: ClientEntry) => object | undefined): Promise<void> {
  const { clientId } = world.registry.authorities[0] ?? {};
  return reloadWith(world, ({ clients, ...others }) => ({
    ...others,
    clients: clients.flatMap((each) => (each.clientId === clientId ? (change(each) ?? []) : each)),
  }));
}

const other = await makeClientKeys('other');
const changes: Readonly<Record<string, (entry: ClientEntry) => object | undefined>> = {
  'the client': () => undefined,
  'its key': (entry) => ({ ...entry, jwks: { keys: [other.publicJwk] } }),
  'its right to read AuditEvents': (entry) => ({
    ...entry,
    scopes: entry.scopes.filter((scope) => !/AuditEvent|\*/.test(scope)),
  }),
  'its organisation': (entry) => ({ ...entry, organisation: 'E99000002' }),
  'tokens without a certificate': (entry) => ({ ...entry, certificateBoundTokens: true }),
};

for (const [name, change] of Object.entries(changes)) {
  t.test(`a reload that takes out ${name} ends the WebSocket and the tokens at once`, async (t) => {
    const world = await openWorld(t);
    await subscribe(world);
    const socket = await bind(t, await tokenOf(world.la));
    await waitUntil('the handshake', () => socket.bundles.length === 1);
    const unused = await tokenOf(world.la);
    const accessToken = await world.la.token();
    const asked = () =>
      fetch(`${world.server.baseUrl}/Subscription`, { headers: { authorization: `Bearer ${accessToken}` } });
    t.equal((await asked()).status, 200);
    await reload(world, (entry) => ({ ...entry, notificationMethod: 'POST' }));
    t.equal((await asked()).status, 200, 'another change ends nothing');
    await reload(world, change);
    await waitUntil('the connection is closed', () => socket.closed !== undefined);
    t.equal(socket.closed, policyViolation);
    t.equal(socket.bundles.length, 1);
    const late = await bind(t, unused);
    await waitUntil('the binding token is refused', () => late.closed !== undefined);
    t.match(late, { closed: policyViolation, bundles: [] });
    if (name !== 'its right to read AuditEvents' && name !== 'its organisation') {
      t.equal((await asked()).status, 401);
    }
  });
}

t.test('a WebSocket of a client that stays ends when the client that wrote its only Subscription goes', async (t) => {
  const world = await openWorld(t);
  const [first] = world.registry.authorities;
  if (first === undefined) throw new Error('no authority');
  await subscribe(world);
  await reloadWith(world, ({ clients, ...others }) => {
    const entry = clients.find(({ clientId }) => clientId === first.clientId);
    return { ...others, clients: [...clients, { ...entry, clientId: 'second', jwks: { keys: [other.publicJwk] } }] };
  });
  const second = openFhirClient(world.server.baseUrl, { ...first, clientId: 'second', privateJwk: other.privateJwk });
  const socket = await bind(t, await tokenOf(second));
  await waitUntil('the handshake', () => socket.bundles.length === 1);
  await reload(world, () => undefined);
  await waitUntil('the connection is closed', () => socket.closed !== undefined);
  t.equal(socket.closed, policyViolation);
  t.equal((await second.request('GET', 'Subscription')).status, 200, 'the client itself may go on');
});
