import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent, Bundle, CapabilityStatement, OperationOutcome, Parameters, Subscription } from 'fhir/r4.js';
import t, { type Test } from 'tap';
import { WebSocket } from 'ws';
import { subscriptionTopics } from '../../src/cpis/subscription-topic.ts';
import { backport } from '../../src/fhir/subscription/backport.ts';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openReceiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { countOwed } from '../support/stored-audits.ts';
import { freshPlan, idIn, postBundle, resourcesOf, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const receiver = await openReceiver();
t.teardown(() => receiver.close());
const world = await openWorld(t, { subscriptionOrigins: [receiver.origin] });
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, thirdLa, epr, ownId } = world;
const root = 'https://cpis-fhir.example.org/fhir/SubscriptionTopic';
const accessTopic = `${root}/access-to-record`;

interface Wish {
  readonly type?: string;
  readonly topic?: string;
  readonly content?: string;
  readonly filters?: readonly string[];
  readonly extension?: readonly object[];
  readonly over?: object;
  readonly channel?: object;
}

function wanted(wish: Wish = {}): object {
  const { type = 'rest-hook', topic = accessTopic, content = 'id-only', filters, extension, over, channel } = wish;
  const filtered = filters?.map((valueString) => ({ url: backport.filterCriteria, valueString }));
  return {
    resourceType: 'Subscription',
    meta: { profile: [backport.subscription] },
    status: 'requested',
    reason: 'Reads of our plans',
    criteria: topic,
    ...(filtered === undefined ? {} : { _criteria: { extension: filtered } }),
    channel: {
      type,
      ...(type === 'websocket' ? {} : { endpoint: `${receiver.origin}/topics` }),
      payload: 'application/fhir+json',
      _payload: { extension: [{ url: backport.payloadContent, valueCode: content }] },
      ...(extension === undefined ? {} : { extension }),
      ...channel,
    },
    ...over,
  };
}

async function subscribe(client: FhirClient, wish: Wish = {}): Promise<string> {
  const created = await client.request('POST', 'Subscription', wanted(wish));
  if (created.status !== 201) throw new Error(JSON.stringify(created.body));
  const id = idIn(created.headers.get('location'));
  await waitUntil('the Subscription is active', async () => {
    return (await client.request<Subscription>('GET', `Subscription/${id}`)).body.status === 'active';
  });
  return id;
}

const parameter = (status: unknown, name: string) =>
  (status as Parameters).parameter?.find((each) => each.name === name);
const countIn = (status: unknown): string | undefined =>
  parameter(status, 'events-since-subscription-start')?.valueString;
const statusIn = (bundle: Bundle | undefined): unknown => bundle?.entry?.[0]?.resource;
const numbersIn = (bundle: Bundle): number[] =>
  ((statusIn(bundle) as Parameters).parameter ?? [])
    .filter(({ name }) => name === 'notification-event')
    .map(({ part }) => Number(part?.find(({ name }) => name === 'event-number')?.valueString));
const typeIn = (bundle: Bundle): string | undefined => parameter(statusIn(bundle), 'type')?.valueCode;

async function lookUp(nhsNumber: string, times = 1): Promise<void> {
  for (let time = 0; time < times; time += 1) await epr.request('GET', `Flag?patient=${nhsNumber}`);
}

const plan = freshPlan();
await submit(la, plan);
const db = new DatabaseSync(join(world.folder, 'data', 'store.sqlite'), { readOnly: true });
t.teardown(() => db.close());
const owedTo = (authority: string): number => countOwed(db, authority);

t.test('handshake, notification, $status and $events', async (t) => {
  const id = await subscribe(la, { content: 'full-resource' });
  await lookUp(plan.nhsNumber, 3);
  const bundles = (): Bundle[] => receiver.received.map(({ body }) => JSON.parse(body));
  await waitUntil('three events', () => bundles().flatMap(numbersIn).length === 3);
  t.equal(typeIn(bundles()[0] as Bundle), 'handshake');
  t.strictSame(bundles().flatMap(numbersIn), [1, 2, 3]);
  t.match(bundles().at(-1)?.entry?.[1]?.resource, { resourceType: 'AuditEvent', subtype: [{ code: 'search-type' }] });

  const asked = namedRequest();
  const one = await la.request<Bundle>('GET', `Subscription/${id}/$status`, undefined, asked.headers);
  t.match(one, {
    status: 200,
    body: {
      type: 'searchset',
      total: 1,
      entry: [{ search: { mode: 'match' }, resource: { meta: { profile: [backport.status] } } }],
    },
  });
  t.match(
    ['status', 'type', 'topic'].map((name) => parameter(statusIn(one.body), name)),
    [{ valueCode: 'active' }, { valueCode: 'query-status' }, { valueCanonical: accessTopic }],
  );
  t.equal(countIn(statusIn(one.body)), '3');
  t.match(trail.of(asked.id), [{ subtype: 'operation', outcome: '0', owed: [], custodians: [ownId] }]);

  const range = namedRequest();
  const path = `Subscription/${id}/$events?eventsSinceNumber=2&eventsUntilNumber=3`;
  const events = await la.request<Bundle>('GET', path, undefined, range.headers);
  t.match(events.body, { resourceType: 'Bundle', type: 'history', meta: { profile: [backport.notification] } });
  t.strictSame([typeIn(events.body), numbersIn(events.body)], ['query-event', [2, 3]]);
  t.equal(events.body.entry?.[2]?.resource?.resourceType, 'AuditEvent');
  t.match(trail.of(range.id), [{ subtype: 'operation', owed: [], patients: [plan.nhsNumber] }]);
  const posted = await la.request<Bundle>('POST', `Subscription/${id}/$events`, {
    resourceType: 'Parameters',
    parameter: [
      { name: 'eventsSinceNumber', valueString: '3' },
      { name: 'content', valueCode: 'empty' },
    ],
  });
  t.strictSame([posted.status, numbersIn(posted.body), posted.body.entry?.length], [200, [3], 1]);
  const none = await la.request<Bundle>('GET', `Subscription/${id}/$events?eventsSinceNumber=4`);
  t.strictSame([none.status, numbersIn(none.body)], [200, []]);
  for (const [query, expected] of [
    ['eventsSinceNumber=x', 400],
    ['eventsSinceNumber=3&eventsUntilNumber=2', 400],
    ['content=all', 400],
    ['since=1', 400],
  ] as const) {
    t.equal((await la.request('GET', `Subscription/${id}/$events?${query}`)).status, expected, query);
  }
  const method = await la.request('DELETE', `Subscription/${id}/$events`);
  t.equal(method.status, 405);

  const off = await subscribe(la, { content: 'empty', over: { reason: 'another' } });
  await la.request('PUT', `Subscription/${off}`, { ...wanted({ content: 'empty', over: { status: 'off' } }), id: off });
  const idsOf = async (query: string): Promise<unknown[]> => {
    const { body } = await la.request<Bundle>('GET', `Subscription/$status${query}`);
    return (body.entry ?? []).map(({ resource }) =>
      parameter(resource, 'subscription')?.valueReference?.reference?.split('/').at(-1),
    );
  };
  t.strictSame(new Set(await idsOf('')), new Set([id, off]));
  t.strictSame(await idsOf('?status=off'), [off]);
  t.strictSame(await idsOf(`?id=${id}&id=${off}&status=active`), [id]);
  t.strictSame(await idsOf('?id=unknown'), []);

  const plain = await la.request('POST', 'Subscription', {
    ...wanted(),
    criteria: 'AuditEvent',
    channel: { type: 'rest-hook', endpoint: `${receiver.origin}/plain`, payload: 'application/fhir+json' },
  });
  const plainId = idIn(plain.headers.get('location'));
  const plainStatus = await la.request<Bundle>('GET', `Subscription/${plainId}/$status`);
  t.strictSame([plainStatus.status, countIn(statusIn(plainStatus.body))], [200, undefined]);
  t.equal((await la.request('GET', `Subscription/${plainId}/$events`)).status, 422);
  for (const each of [id, off, plainId]) await la.request('DELETE', `Subscription/${each}`);
  t.equal((await la.request('GET', `Subscription/${id}/$events`)).status, 410);
});

t.test('a plan of another authority on the same child: who did what, and no more', async (t) => {
  const shared = freshPlan();
  await submit(la, shared);
  const topic = `${root}/plan-by-another-authority`;
  const id = await subscribe(la, {
    topic,
    content: 'full-resource',
    channel: { endpoint: `${receiver.origin}/plans` },
  });
  await submit(otherLa, { ...shared, reference: 'of-the-other' });
  await lookUp(shared.nhsNumber);
  const { body } = await la.request<Bundle>('GET', `Subscription/${id}/$events`);
  t.strictSame(numbersIn(body), [1], 'the write alone, not the read');
  const [, told] = body.entry ?? [];
  t.match(told?.resource, { resourceType: 'AuditEvent', meta: { tag: [{ code: 'SUBSETTED' }] } });
  t.notMatch(JSON.stringify(told), /of-the-other|Flag\//, 'nothing of the other plan');
  const sent = (): Bundle[] =>
    receiver.received.filter(({ path }) => path === '/plans').map((each): Bundle => JSON.parse(each.body));
  await waitUntil('it is notified', () => sent().flatMap(numbersIn).length === 1);
  t.strictSame(
    sent().find((each) => numbersIn(each).length === 1)?.entry?.[1]?.resource,
    told?.resource,
    'what is notified is what $events gives',
  );
  await la.request('DELETE', `Subscription/${id}`);
});

t.test('nobody else gets at them, and hidden answers as absent', async (t) => {
  const id = await subscribe(la);
  await lookUp(plan.nhsNumber);
  const absent = '00000000-0000-4000-8000-000000000000';
  for (const operation of ['$status', '$events', '$get-ws-binding-token']) {
    const shape = async (each: string): Promise<unknown> => {
      const { status, body } = await otherLa.request('GET', `Subscription/${each}/${operation}`);
      return [status, body];
    };
    t.strictSame(await shape(id), await shape(absent), operation);
    for (const client of [epr, world.operator]) {
      const asked = namedRequest();
      t.equal((await client.request('GET', `Subscription/${id}/${operation}`, undefined, asked.headers)).status, 403);
      t.match(trail.of(asked.id), [{ outcome: '4' }], 'the refusal is audited');
    }
  }
  t.equal((await otherLa.request<Bundle>('GET', `Subscription/$status?id=${id}`)).body.total, 0);

  // As if an event of another authority had got into the numbers.
  const foreign = freshPlan();
  await submit(otherLa, foreign);
  await lookUp(foreign.nhsNumber);
  const [event] = resourcesOf<AuditEvent>(await otherLa.request<Bundle>('GET', 'AuditEvent?subtype=search-type'));
  const writable = new DatabaseSync(join(world.folder, 'data', 'store.sqlite'), { timeout: 5_000 });
  writable.prepare('INSERT INTO subscription_event VALUES (?, 1000, ?)').run(id, String(event?.id));
  writable.close();
  const { body } = await la.request<Bundle>('GET', `Subscription/${id}/$events?content=full-resource`);
  t.ok(numbersIn(body).includes(1) && !numbersIn(body).includes(1000));
  t.notMatch(JSON.stringify(body), new RegExp(String(event?.id)), 'what the authority may not see is left out');
  await la.request('DELETE', `Subscription/${id}`);
});

t.test('what is not supported is refused with its reason', async (t) => {
  const cases: [string, object, RegExp][] = [
    ['an unknown topic', wanted({ topic: `${root}/everything` }), /not supported.*access-to-record/],
    ['a filter on another type', wanted({ filters: ['Encounter?patient=9990000018'] }), /Subscription\.criteria/],
    ['a filter by another parameter', wanted({ filters: ['AuditEvent?_id=1'] }), /Subscription\.criteria/],
    ['a filter that cannot be read', wanted({ filters: ['AuditEvent?date=never'] }), /Subscription\.criteria/],
    ['no content level', wanted({ channel: { _payload: undefined } }), /Subscription\.channel\.payload/],
    ['another content level', wanted({ content: 'everything' }), /Subscription\.channel\.payload/],
    ['no payload', wanted({ channel: { payload: undefined, _payload: undefined } }), /channel\.payload/],
    ['xml', wanted({ channel: { payload: 'application/fhir+xml' } }), /channel\.payload/],
    ['email', wanted({ type: 'email' }), /channel\.type/],
    [
      'a channel of another type',
      wanted({ channel: { _type: { extension: [{ url: `${backport.subscription}x`, valueCoding: {} }] } } }),
      /channel\.type/,
    ],
    ['a short heartbeat', wanted({ extension: [{ url: backport.heartbeatPeriod, valueUnsignedInt: 1 }] }), /channel/],
    ['another extension', wanted({ extension: [{ url: 'urn:x', valueString: 'x' }] }), /channel\.extension/],
    ['maxCount 0', wanted({ extension: [{ url: backport.maxCount, valuePositiveInt: 0 }] }), /channel\.extension/],
    ['extensions without a topic', wanted({ topic: 'AuditEvent' }), /topic/],
    ['websocket without a topic', wanted({ type: 'websocket', topic: 'AuditEvent' }), /channel\.type/],
    ['websocket with an endpoint', wanted({ type: 'websocket', channel: { endpoint: receiver.origin } }), /endpoint/],
    ['active', wanted({ over: { status: 'active' } }), /Subscription\.status/],
  ];
  for (const [name, body, expected] of cases) {
    const answer = await la.request<OperationOutcome>('POST', 'Subscription', body);
    t.equal(answer.status, 422, `${name}: ${JSON.stringify(answer.body)}`);
    t.match(JSON.stringify(answer.body), expected, name);
  }
  t.strictSame(resourcesOf(await la.request<Bundle>('GET', 'Subscription')), []);
});

interface Socket {
  readonly messages: string[];
  readonly bundles: () => Bundle[];
  send(text: string): void;
  readonly closed: Promise<number>;
  /** Resolves once everything has arrived that the server sent before it answers a ping. */
  heard(): Promise<void>;
  close(): void;
}

async function connect(t: Test, url: string): Promise<Socket> {
  const socket = new WebSocket(url);
  const messages: string[] = [];
  socket.on('message', (data) => messages.push(String(data)));
  socket.on('error', () => undefined);
  const closed = once(socket, 'close').then(([code]) => Number(code));
  await once(socket, 'open');
  t.teardown(() => socket.terminate());
  return {
    messages,
    bundles: () => messages.filter((text) => text.startsWith('{')).map((text): Bundle => JSON.parse(text)),
    send: (text) => socket.send(text),
    closed,
    heard: async () => {
      socket.ping();
      await once(socket, 'pong');
    },
    close: () => socket.close(),
  };
}

async function tokenFor(client: FhirClient, path: string): Promise<{ token: string; url: string }> {
  const { status, body } = await client.request<Parameters>('GET', path);
  if (status !== 200) throw new Error(`${status} ${JSON.stringify(body)}`);
  return {
    token: parameter(body, 'token')?.valueString ?? '',
    url: parameter(body, 'websocket-url')?.valueUrl ?? '',
  };
}

t.test('a WebSocket: bound by a token, told what is recorded, settled by acknowledgement', async (t) => {
  const id = await subscribe(thirdLa, { type: 'websocket' });
  const own = freshPlan();
  await submit(thirdLa, own);
  await lookUp(own.nhsNumber, 2);
  const { token, url } = await tokenFor(thirdLa, `Subscription/${id}/$get-ws-binding-token`);
  const socket = await connect(t, url);
  await socket.heard();
  t.strictSame(socket.messages, [], 'nothing before it is bound');
  socket.send(`bind-with-token ${token}`);
  await waitUntil('two events', () => socket.bundles().flatMap(numbersIn).length === 2);
  t.strictSame(socket.bundles().map(typeIn).slice(0, 2), ['handshake', 'event-notification']);
  t.equal(countIn(statusIn(socket.bundles()[0])), '2', 'the handshake tells what was missed');
  await lookUp(own.nhsNumber);
  await waitUntil('the third', () => socket.bundles().flatMap(numbersIn).length === 3);
  t.strictSame(socket.bundles().flatMap(numbersIn), [1, 2, 3]);

  const owed = () => owedTo(world.registry.authorities[2]?.organisationId ?? '');
  t.equal(owed(), 3, 'told is not delivered');
  socket.send(`ack ${id} 2`);
  await waitUntil('the acknowledgement', () => socket.messages.includes(`acknowledged ${id} 2`));
  await waitUntil('two are settled', () => owed() === 1);
  socket.close();
  await socket.closed;

  const again = await connect(t, url);
  again.send(`bind-with-token ${token}`);
  t.equal(await again.closed, 1008, 'a token is used once');
  const next = await tokenFor(thirdLa, 'Subscription/$get-ws-binding-token');
  const second = await connect(t, next.url);
  second.send(`bind-with-token ${next.token}`);
  await waitUntil('what was not acknowledged', () => second.bundles().flatMap(numbersIn).length === 1);
  t.strictSame(second.bundles().flatMap(numbersIn), [3], 'told again, with its number');
  second.send(`ack ${id} 9`);
  t.equal(await second.closed, 1008, 'what was not told cannot be acknowledged');
  t.equal(owed(), 1);

  const third = await tokenFor(thirdLa, `Subscription/${id}/$get-ws-binding-token`);
  const bound = await connect(t, third.url);
  bound.send(`bind-with-token ${third.token}`);
  await waitUntil('bound', () => bound.bundles().length > 0);
  await thirdLa.request('DELETE', `Subscription/${id}`);
  t.equal(await bound.closed, 1008, 'closed when the Subscription is gone');
});

t.test('a WebSocket gets nothing without a token of its own', async (t) => {
  const id = await subscribe(la, { type: 'websocket' });
  const { token, url } = await tokenFor(la, `Subscription/${id}/$get-ws-binding-token`);
  const [payload = '', mac = ''] = token.split('.');
  const binding = JSON.parse(Buffer.from(payload, 'base64url').toString());
  const forged = Buffer.from(JSON.stringify({ ...binding, owner: 'E10000016' })).toString('base64url');
  for (const message of ['hello', 'bind-with-token x', `bind-with-token ${forged}.${mac}`, `ack ${id} 1`]) {
    const socket = await connect(t, url);
    socket.send(message);
    t.equal(await socket.closed, 1008, message.slice(0, 20));
    t.strictSame(socket.messages, []);
  }
  t.equal((await la.request('GET', '$websocket')).status, 400, 'a plain request');
  const hook = await subscribe(la);
  t.equal((await la.request('GET', `Subscription/${hook}/$get-ws-binding-token`)).status, 422);
  for (const each of [id, hook]) await la.request('DELETE', `Subscription/${each}`);
  t.equal((await la.request('GET', 'Subscription/$get-ws-binding-token')).status, 422, 'there is none to bind');
});

t.test('a client that has left the authority is told nothing more, and its token binds nothing', async (t) => {
  const id = await subscribe(la, { type: 'websocket' });
  const bind = async (): Promise<Socket> => {
    const { token, url } = await tokenFor(la, `Subscription/${id}/$get-ws-binding-token`);
    const socket = await connect(t, url);
    socket.send(`bind-with-token ${token}`);
    return socket;
  };
  const bound = await bind();
  await waitUntil('bound', () => bound.bundles().length > 0);
  const unused = await tokenFor(la, `Subscription/${id}/$get-ws-binding-token`);
  const file = join(world.folder, 'registry.json');
  const before = readFileSync(file, 'utf8');
  const moved = JSON.parse(before);
  const [own, other] = world.registry.authorities;
  for (const client of moved.clients)
    if (client.clientId === own?.clientId) client.organisation = other?.organisationId;
  writeFileSync(file, JSON.stringify(moved));
  t.strictSame(await world.server.reloadRegistry(), []);
  t.equal(await bound.closed, 1008, 'the open connection ends');
  const late = await connect(t, unused.url);
  late.send(`bind-with-token ${unused.token}`);
  t.equal(await late.closed, 1008);
  t.strictSame(late.messages, []);
  writeFileSync(file, before);
  t.strictSame(await world.server.reloadRegistry(), []);
  await la.request('DELETE', `Subscription/${id}`);
});

t.test('what is served stands in the CapabilityStatement', async (t) => {
  const { body } = await la.request<CapabilityStatement>('GET', 'metadata');
  const [rest] = body.rest ?? [];
  const url = `${world.server.baseUrl.replace('http', 'ws')}/$websocket`;
  t.match(rest?.extension, [{ url: /capabilitystatement-websocket$/, valueUri: url }]);
  const served = rest?.resource?.find(({ type }) => type === 'Subscription');
  t.ok(served?.supportedProfile?.includes(backport.subscription));
  t.strictSame(
    served?.extension?.map(({ valueCanonical }) => valueCanonical),
    [...subscriptionTopics.keys()],
  );
});

t.test(
  'while an endpoint does not answer its handshake the other Subscriptions of its authority are notified',
  async (t) => {
    const silent = await openReceiver();
    t.teardown(() => silent.close());
    silent.behave({ kind: 'hang' });
    const file = join(world.folder, 'registry.json');
    const before = readFileSync(file, 'utf8');
    const registry = JSON.parse(before);
    const [own] = world.registry.authorities;
    for (const client of registry.clients)
      if (client.clientId === own?.clientId) client.subscriptionOrigins.push(silent.origin);
    writeFileSync(file, JSON.stringify(registry));
    t.strictSame(await world.server.reloadRegistry(), []);
    const healthy = await subscribe(la, { channel: { endpoint: `${receiver.origin}/healthy` } });
    const created = await la.request(
      'POST',
      'Subscription',
      wanted({ channel: { endpoint: `${silent.origin}/silent` } }),
    );
    const waiting = idIn(created.headers.get('location'));
    await silent.waitFor(1);
    const notified = (): number =>
      receiver.received.filter(({ path }) => path === '/healthy').flatMap(({ body }) => numbersIn(JSON.parse(body)))
        .length;
    await lookUp(plan.nhsNumber, 3);
    await waitUntil('the healthy one is notified', () => notified() === 3);
    const { body } = await la.request<Subscription>('GET', `Subscription/${waiting}`);
    t.equal(body.status, 'requested');
    t.equal(silent.received.length, 1, 'the handshake, and nothing else');
    silent.behave({ kind: 'answer', status: 200 });
    t.equal((await la.request('PUT', `Subscription/${waiting}`, { ...body, status: 'requested' })).status, 200);
    const told = (): number => silent.received.flatMap(({ body: text }) => numbersIn(JSON.parse(text))).length;
    await waitUntil('what waited for it', () => told() === 3);
    for (const each of [healthy, waiting]) await la.request('DELETE', `Subscription/${each}`);
    writeFileSync(file, before);
    t.strictSame(await world.server.reloadRegistry(), []);
  },
);

t.test('of one address so many connections wait to be bound, and no more', async (t) => {
  const url = `${world.server.baseUrl.replace('http', 'ws')}/$websocket`;
  const open = await Promise.all(Array.from({ length: 20 }, () => connect(t, url)));
  const refused = await connect(t, url);
  t.equal(await refused.closed, 1013);
  for (const socket of open) socket.close();
  t.strictSame(new Set(await Promise.all(open.map(({ closed }) => closed))), new Set([1005]));
});

t.test('an operation within a Bundle is refused, not misread', async (t) => {
  const answer = await postBundle(la, 'batch', [{ request: { method: 'GET', url: 'Subscription/$status' } }]);
  t.match(answer.body.entry?.[0]?.response?.status, /^4/);
});
