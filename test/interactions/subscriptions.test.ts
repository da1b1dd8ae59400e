import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent, Bundle, BundleEntry, Subscription } from 'fhir/r4.js';
import t from 'tap';
import type { FhirClient } from '../../src/synthetic/fhir-client.ts';
import { namedRequest, openAuditTrail } from '../support/audit-trail.ts';
import { openReceiver } from '../support/receiver.ts';
import { openWorld } from '../support/running-server.ts';
import { countOwed } from '../support/stored-audits.ts';
import { freshPlan, idIn, resourcesOf, submit } from '../support/submissions.ts';
import { waitUntil } from '../support/wait-until.ts';

const receiver = await openReceiver();
t.teardown(() => receiver.close());
const otherReceiver = await openReceiver();
t.teardown(() => otherReceiver.close());
const world = await openWorld(t, { subscriptionOrigins: [receiver.origin, otherReceiver.origin] });
const trail = openAuditTrail(t, world.folder);
const { la, otherLa, thirdLa, epr, ownId, otherId } = world;
const db = new DatabaseSync(join(world.folder, 'data', 'store.sqlite'), { readOnly: true });
t.teardown(() => db.close());
/** Resolves when the authority has been sent everything that it is owed. */
const drained = (authority: string): Promise<void> =>
  waitUntil(`${authority} is owed nothing`, () => countOwed(db, authority) === 0);

const secret = 'Bearer s3cret-of-the-authority';
const wanted = (over: Partial<Subscription> = {}, channel: object = {}): Subscription => ({
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'Reads of our plans',
  criteria: `AuditEvent?agent=Organization/${ownId}&subtype=search-type`,
  channel: {
    type: 'rest-hook',
    endpoint: `${receiver.origin}/hook`,
    payload: 'application/fhir+json',
    header: [`Authorization: ${secret}`],
    ...channel,
  },
  ...over,
});

const isRefused = (entry: BundleEntry): boolean => entry.response?.status.startsWith('422') === true;

async function untilStatus(client: FhirClient, id: string, status: string): Promise<Subscription> {
  const read = async () => (await client.request<Subscription>('GET', `Subscription/${id}`)).body;
  let found = await read();
  await waitUntil(`the Subscription is ${status}`, async () => {
    found = await read();
    return found.status === status;
  });
  return found;
}

t.test('requested, activated, delivered to, turned off', async (t) => {
  const { id: requestId, headers } = namedRequest();
  const created = await la.request<Subscription>('POST', 'Subscription', wanted(), headers);
  t.match(created, { status: 201, body: { status: 'requested', meta: { versionId: '1' } } });
  t.notOk(JSON.stringify(created.body).includes('s3cret'), 'redacted in the answer');
  t.match(trail.of(requestId), [{ subtype: 'create', patients: [], owed: [], custodians: [ownId] }]);
  const id = idIn(created.headers.get('location'));
  const active = await untilStatus(la, id, 'active');
  t.match(active.channel.header, [/^Authorization: /]);
  const changes = await la.request<Bundle>('GET', `AuditEvent?entity=Subscription/${id}&subtype=update`);
  t.match(
    resourcesOf<AuditEvent>(changes),
    [{ action: 'U', outcome: '0', agent: [{ who: { display: 'cpis-fhir' }, requestor: true }, {}, {}] }],
    'the activation by the server is audited, and seen by the owner',
  );
  const unseen = await otherLa.request<Bundle>('GET', `AuditEvent?entity=Subscription/${id}`);
  t.equal(unseen.body.total, 0);
  t.notOk(JSON.stringify(active).includes('s3cret'), 'redacted on read');
  for (const path of [`Subscription/${id}/_history/1`, 'Subscription', 'Subscription?status=active']) {
    const text = JSON.stringify((await la.request('GET', path)).body);
    t.ok(text.includes(id) && !text.includes('s3cret'), `redacted: ${path}`);
  }

  const plan = freshPlan();
  const [flagId = ''] = await submit(la, plan);
  const before = receiver.received.length;
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  await receiver.waitFor(before + 1);
  const notified = receiver.received.at(-1);
  const event: AuditEvent = JSON.parse(notified?.body ?? '');
  t.equal(notified?.headers['authorization'], secret, 'the header is sent as it was given');
  t.strictSame([notified?.method, notified?.path], ['PUT', `/hook/AuditEvent/${event.id}`]);
  t.match(event, { resourceType: 'AuditEvent', subtype: [{ code: 'search-type' }] });
  const [stored] = resourcesOf<AuditEvent>(await la.request<Bundle>('GET', `AuditEvent?_id=${event.id}`));
  t.strictSame(stored, event, 'what was notified is what is stored');

  const off = await la.request<Subscription>('PUT', `Subscription/${id}`, { ...active, status: 'off' });
  t.match(off, { status: 200, body: { status: 'off' } }, 'read, changed and sent back, its header kept');
  // A second Subscription, for reads alone, shows when the queue has passed the search.
  const reads = wanted({ criteria: 'AuditEvent?subtype=read' }, { endpoint: `${receiver.origin}/reads` });
  const second = idIn((await la.request('POST', 'Subscription', reads)).headers.get('location'));
  await untilStatus(la, second, 'active');
  const silence = receiver.received.length;
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  await epr.request('GET', `Flag/${flagId}`);
  await waitUntil('the search alone is owed', () => countOwed(db, ownId) === 1);
  const sent = receiver.received.slice(silence).map(({ path }) => path);
  t.match(sent, [/^\/reads\//], 'off: nothing is sent');
  t.equal(sent.length, 1);
  t.equal((await la.request('DELETE', `Subscription/${second}`)).status, 204);
  const on = await la.request<Subscription>('PUT', `Subscription/${id}`, { ...off.body, status: 'requested' });
  t.equal(on.status, 200);
  await receiver.waitFor(silence + 2);
  t.equal(
    receiver.received.at(-1)?.headers['authorization'],
    secret,
    'what was owed is delivered, with the kept header',
  );

  const audits = async (query: string): Promise<unknown[]> =>
    resourcesOf<AuditEvent>(await la.request<Bundle>('GET', `AuditEvent?${query}`)).map((each) => each.id);
  t.ok((await audits(`agent=${ownId}&entity=${id}`)).length >= 3, 'bare ids, of an organisation and of a record');
  t.strictSame(await audits(`agent=${ownId}0`), []);
  t.strictSame(await audits(`entity=${ownId}`), [], 'an organisation is no entity');

  t.equal((await la.request('DELETE', `Subscription/${id}`)).status, 204);
  t.equal((await la.request('GET', `Subscription/${id}`)).status, 410);
  t.equal((await la.request('GET', `Subscription/${id}/_history/1`)).status, 200);
  t.strictSame(resourcesOf(await la.request<Bundle>('GET', 'Subscription')), []);
});

t.test('what is refused, with its reason', async (t) => {
  const cases: [string, Subscription | object, RegExp][] = [
    [
      'another endpoint origin',
      wanted({}, { endpoint: `${otherReceiver.origin}/hook` }),
      /Subscription\.channel\.endpoint/,
    ],
    [
      'a prefix of the origin',
      wanted({}, { endpoint: `${receiver.origin}.evil.example.org/hook` }),
      /channel\.endpoint/,
    ],
    ['user information', wanted({}, { endpoint: receiver.origin.replace('//', '//a:b@') }), /channel\.endpoint/],
    ['a file', wanted({}, { endpoint: 'file:///etc/passwd' }), /channel\.endpoint/],
    ['criteria on another type', wanted({ criteria: 'Flag?patient=9990000018' }), /Subscription\.criteria/],
    ['an unknown criterion', wanted({ criteria: 'AuditEvent?nonsense=1' }), /criteria/],
    ['a result parameter', wanted({ criteria: 'AuditEvent?_count=1' }), /criteria/],
    ['an invalid NHS number', wanted({ criteria: 'AuditEvent?patient=9990000019' }), /criteria/],
    ['active', wanted({ status: 'active' }), /Subscription\.status/],
    ['error', wanted({ status: 'error' }), /Subscription\.status/],
    ['another channel', wanted({}, { type: 'email' }), /channel\.type/],
    ['another payload', wanted({}, { payload: 'application/xml' }), /channel\.payload/],
    ['a hop header', wanted({}, { header: ['Host: internal'] }), /channel\.header/],
    ['a split header', wanted({}, { header: ['X-A: b\r\nHost: internal'] }), /channel\.header/],
    ['an extension', { ...wanted(), extension: [{ url: 'urn:x', valueString: 'x' }] }, /Subscription\.extension/],
    ['an end in the past', wanted({ end: '2020-01-01T00:00:00Z' }), /Subscription\.end/],
  ];
  for (const [name, body, expected] of cases) {
    const answer = await la.request('POST', 'Subscription', body);
    t.equal(answer.status, 422, `${name}: ${JSON.stringify(answer.body)}`);
    t.match(JSON.stringify(answer.body), expected, name);
    t.notMatch(JSON.stringify(answer.body), /s3cret|evil|passwd|9990000019|internal/, 'no value is repeated');
  }
  t.equal((await thirdLa.request('POST', 'Subscription', wanted())).status, 422, 'no origin is registered for it');
  t.strictSame(resourcesOf(await la.request<Bundle>('GET', 'Subscription')), [], 'nothing was stored');
});

t.test('invisible to another authority', async (t) => {
  const created = await la.request('POST', 'Subscription', wanted({ status: 'off' }));
  const id = idIn(created.headers.get('location'));
  const absent = '00000000-0000-4000-8000-000000000000';
  const replacement = wanted({ status: 'off' }, { endpoint: `${otherReceiver.origin}/hook` });
  const shape = async (method: string, path: string, body?: unknown): Promise<unknown> => {
    const answer = await otherLa.request(method, path, body);
    return [answer.status, answer.body];
  };
  for (const suffix of ['', '/_history/1']) {
    t.strictSame(
      await shape('GET', `Subscription/${id}${suffix}`),
      await shape('GET', `Subscription/${absent}${suffix}`),
    );
  }
  t.strictSame(
    await shape('PUT', `Subscription/${id}`, replacement),
    await shape('PUT', `Subscription/${absent}`, replacement),
  );
  t.strictSame(await shape('DELETE', `Subscription/${id}`), await shape('DELETE', `Subscription/${absent}`));
  const found = await otherLa.request<Bundle>('GET', `Subscription?_id=${id}`);
  t.equal(found.body.total, 0);
  t.equal((await otherLa.request<Bundle>('GET', 'Subscription?status=off')).body.total, 0);
  const url = encodeURIComponent(`${receiver.origin}/hook`);
  t.equal((await otherLa.request<Bundle>('GET', `Subscription?url=${url}`)).body.total, 0);
  t.equal((await la.request<Bundle>('GET', `Subscription?url=${url}`)).body.total, 1);
  const ifNone = await otherLa.request('POST', 'Subscription', replacement, { 'if-none-exist': `_id=${id}` });
  t.equal(ifNone.status, 201, 'a hidden match is no match');
  const again = await otherLa.request('POST', 'Subscription', replacement, { 'if-none-exist': 'status=off' });
  t.equal(again.status, 200, 'its own is one');
  t.equal((await epr.request('GET', `Subscription/${id}`)).status, 403);
  t.equal(
    (await la.request('PUT', `Subscription/${id}`, wanted({ status: 'off' }), { 'if-match': 'W/"9"' })).status,
    412,
  );
});

t.test('criteria are narrowed to the authority: it is told of its own plans only', async (t) => {
  const plan = freshPlan();
  const [foreign, own] = [freshPlan(), plan];
  await submit(la, foreign);
  await submit(otherLa, own);
  const all = wanted(
    { criteria: 'AuditEvent?type=rest' },
    { endpoint: `${otherReceiver.origin}/all`, payload: undefined },
  );
  const created = await otherLa.request('POST', 'Subscription', JSON.parse(JSON.stringify(all)));
  t.equal(created.status, 201, JSON.stringify(created.body));
  await untilStatus(otherLa, idIn(created.headers.get('location')), 'active');
  const before = otherReceiver.received.length;
  await epr.request('GET', `Flag?patient=${foreign.nhsNumber}`);
  await epr.request('GET', `Flag?patient=${own.nhsNumber}`);
  await drained(otherId);
  t.equal(otherReceiver.received.length, before + 1);
  t.match(
    otherReceiver.received.at(-1),
    { method: 'POST', path: '/all', body: '' },
    'without a payload: an empty POST',
  );
});

t.test('a client that moves to another authority is sent nothing of the one that it left', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  const created = await la.request('POST', 'Subscription', wanted({ criteria: 'AuditEvent?type=rest' }));
  t.equal(created.status, 201, JSON.stringify(created.body));
  const id = idIn(created.headers.get('location'));
  await untilStatus(la, id, 'active');
  const atFirst = receiver.received.length;
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  await receiver.waitFor(atFirst + 1);
  await drained(ownId);

  const file = join(world.folder, 'registry.json');
  const before = readFileSync(file, 'utf8');
  const moved = JSON.parse(before);
  const [own, other] = world.registry.authorities;
  for (const client of moved.clients)
    if (client.clientId === own?.clientId) client.organisation = other?.organisationId;
  writeFileSync(file, JSON.stringify(moved));
  t.strictSame(await world.server.reloadRegistry(), []);
  const ofOther = freshPlan();
  await submit(otherLa, ofOther);
  await drained(otherId);
  const silence = [receiver.received.length, otherReceiver.received.length + 1];
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  // The next event of the other authority is sent after this one would have been.
  await epr.request('GET', `Flag?patient=${ofOther.nhsNumber}`);
  await drained(otherId);
  t.strictSame([receiver.received.length, otherReceiver.received.length], silence, 'nothing is sent');
  writeFileSync(file, before);
  t.strictSame(await world.server.reloadRegistry(), []);
  await receiver.waitFor(atFirst + 2);
  t.pass('what was owed is delivered to the authority that it is owed to, once its client is back');
  t.equal((await la.request('DELETE', `Subscription/${id}`)).status, 204);
});

t.test('what the server makes of a Subscription by itself, error and off, is audited as its own change', async (t) => {
  const criteria = 'AuditEvent?type=rest';
  const { headers } = await la.request('POST', 'Subscription', wanted({ criteria }));
  const id = idIn(headers.get('location'));
  const active = await untilStatus(la, id, 'active');
  const file = join(world.folder, 'registry.json');
  const before = readFileSync(file, 'utf8');
  const without = JSON.parse(before);
  for (const client of without.clients) client.subscriptionOrigins = [];
  writeFileSync(file, JSON.stringify(without));
  t.strictSame(await world.server.reloadRegistry(), []);
  const inError = await untilStatus(la, id, 'error');
  writeFileSync(file, before);
  t.strictSame(await world.server.reloadRegistry(), []);
  const end = new Date(Date.now() + 1000).toISOString();
  const asked = await la.request('PUT', `Subscription/${id}`, { ...active, status: 'requested', end });
  t.equal(asked.status, 200, JSON.stringify(asked.body));
  const off = await untilStatus(la, id, 'off');
  t.ok(Number(off.meta?.versionId) > Number(inError.meta?.versionId));
  const audits = await la.request<Bundle>('GET', `AuditEvent?entity=Subscription/${id}&subtype=update&_count=50`);
  const byServer = resourcesOf<AuditEvent>(audits).filter(({ agent }) => agent[0]?.who?.display === 'cpis-fhir');
  t.equal(byServer.length + 2, Number(off.meta?.versionId), 'each version but the create and the one update');
  for (const { recorded } of [inError, off].map(({ meta }) => ({ recorded: meta?.lastUpdated }))) {
    t.ok(
      byServer.some((event) => event.recorded === recorded),
      'the AuditEvent of this very version',
    );
  }
  t.equal((await otherLa.request<Bundle>('GET', `AuditEvent?entity=Subscription/${id}`)).body.total, 0);
});

t.test('at most ten Subscriptions of an authority are in use, also when many are written at once', async (t) => {
  for (const { id } of resourcesOf(await la.request<Bundle>('GET', 'Subscription')))
    await la.request('DELETE', `Subscription/${id}`);
  const entries = (count: number, status: Subscription['status']) =>
    Array.from({ length: count }, () => ({
      resource: wanted({ status }),
      request: { method: 'POST', url: 'Subscription' },
    }));
  const send = (type: string, entry: unknown) =>
    la.request<Bundle>('POST', '', { resourceType: 'Bundle', type, entry });
  const withStatus = async (status: string): Promise<number | undefined> =>
    (await la.request<Bundle>('GET', `Subscription?status=${status}&_summary=count`)).body.total;
  const many = await send('transaction', entries(30, 'requested'));
  t.equal(many.status, 200, JSON.stringify(many.body).slice(0, 500));
  await waitUntil('none is requested any more', async () => (await withStatus('requested')) === 0);
  t.strictSame([await withStatus('active'), await withStatus('error')], [10, 20]);
  const one = wanted();
  const refused = await la.request('POST', 'Subscription', one);
  t.equal(refused.status, 422);
  t.match(refused.body, { issue: [{ code: 'business-rule', expression: ['Subscription.status'] }] });
  t.equal((await send('batch', entries(70, 'requested'))).body.entry?.filter(isRefused).length, 70);
  t.equal((await send('batch', entries(2, 'off'))).body.entry?.filter(isRefused).length, 0, 'off: no limit');

  const [ended = ''] = resourcesOf(await la.request<Bundle>('GET', 'Subscription?status=active')).map(({ id }) => id);
  t.equal((await la.request('PUT', `Subscription/${ended}`, { ...wanted({ status: 'off' }), id: ended })).status, 200);
  t.equal((await la.request('POST', 'Subscription', one)).status, 422, 'others wait for the room already');
  for (const { id } of resourcesOf(await la.request<Bundle>('GET', 'Subscription?status=error&_count=100')))
    await la.request('DELETE', `Subscription/${id}`);
  t.equal((await la.request('PUT', `Subscription/${ended}`, { ...one, id: ended })).status, 200, 'there is room again');
});
