import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import type { AuditEvent, Bundle, Flag, Subscription } from 'fhir/r4.js';
import t from 'tap';
import { buildLogger } from '../src/server/logger.ts';
import { openServer, type RunningServer } from '../src/server/open-server.ts';
import { loadSettings } from '../src/settings/settings.ts';
import { type FhirClient, openFhirClient } from '../src/synthetic/fhir-client.ts';
import { buildFlag, buildPatient, buildRecord } from '../src/synthetic/synthetic-plan.ts';
import { makeSyntheticRegistry } from '../src/synthetic/synthetic-registry.ts';
import { namedRequest, openAuditTrail } from './support/audit-trail.ts';
import { openReceiver } from './support/receiver.ts';
import { openWorld } from './support/running-server.ts';
import { countOwed, openOwed, readStoredAudits } from './support/stored-audits.ts';
import {
  freshPlan,
  idIn,
  kindOf,
  postBundle,
  referenceSystem,
  resourcesOf,
  statusesOf,
  submit,
} from './support/submissions.ts';
import { makeTempFolder } from './support/temp-folder.ts';
import { waitUntil } from './support/wait-until.ts';

const receivers = [await openReceiver(), await openReceiver()] as const;
const [receiver, otherReceiver] = receivers;
for (const opened of receivers) t.teardown(() => opened.close());
const world = await openWorld(t, { subscriptionOrigins: receivers.map(({ origin }) => origin) });
const trail = openAuditTrail(t, world.folder);
const { baseUrl, origin } = world.server;
const { la, otherLa, epr, ownId, otherId } = world;
const file = join(world.folder, 'data', 'store.sqlite');
const absentId = '00000000-0000-4000-8000-000000000000';

const subscriptionTo = (endpoint: string): object => ({
  resourceType: 'Subscription',
  status: 'requested',
  reason: 'reads of our plans',
  criteria: 'AuditEvent?type=rest',
  channel: { type: 'rest-hook', endpoint, payload: 'application/fhir+json' },
});

t.test('I1: when the access cannot be recorded the answer is 503 and discloses nothing', async (t) => {
  const plan = freshPlan({ family: 'Disclosed' });
  const [id = ''] = await submit(la, plan);
  const number = plan.nhsNumber;
  const asked: [FhirClient, string, string, unknown?, Record<string, string>?][] = [
    [epr, 'GET', `Flag?patient=${number}`],
    [epr, 'GET', `Flag?patient=${number}&_summary=count`],
    [epr, 'GET', `Flag/${id}`],
    [epr, 'GET', `Patient/${number}`],
    [epr, 'GET', `AuditEvent?patient=${number}`],
    [la, 'GET', `Flag/${id}`],
    [la, 'GET', `Flag/${id}/_history/1`],
    [la, 'GET', `Flag?patient=${number}`],
    [la, 'GET', `Patient?family=${plan.family}`],
    [la, 'GET', 'AuditEvent'],
    [la, 'GET', 'Subscription'],
    [la, 'GET', `Flag/${absentId}`],
    [la, 'PUT', `Flag/${id}`, { ...buildFlag(plan), id }, { prefer: 'return=representation' }],
    [la, 'POST', 'Flag', buildFlag(plan), { 'if-none-exist': `identifier=${referenceSystem}|${plan.reference}` }],
    [
      la,
      'POST',
      '',
      { resourceType: 'Bundle', type: 'batch', entry: [{ request: { method: 'GET', url: `Flag/${id}` } }] },
    ],
    [
      la,
      'POST',
      '',
      { resourceType: 'Bundle', type: 'transaction', entry: buildRecord({ ...plan, family: 'Changed' }) },
    ],
  ];
  await Promise.all([la.token(), epr.token()]);
  const before = trail.count();
  const lock = new DatabaseSync(file);
  lock.exec('BEGIN IMMEDIATE');
  const answers = await Promise.all(
    asked.map(([client, method, path, body, headers]) => client.request(method, path, body, headers)),
  );
  for (const [index, answer] of answers.entries()) {
    const name = `${asked[index]?.[1]} ${asked[index]?.[2]}`;
    const text = JSON.stringify(answer.body);
    if (answer.status === 200)
      t.match(text, /"batch-response","entry":\[\{"response":\{"status":"503 /, `${name}: in its entry`);
    else
      t.match(
        answer,
        { status: 503, body: { resourceType: 'OperationOutcome', issue: [{ code: 'transient' }] } },
        name,
      );
    t.notMatch(
      text,
      /Disclosed|Testchild|"Flag"|"Patient"|"AuditEvent"|342191000000101|searchset/,
      `${name}: not a byte of it`,
    );
    t.notOk(text.includes(number), `${name}: nor the number`);
    if (answer.status === 503) t.ok(Number(answer.headers.get('retry-after')) > 0, 'Retry-After');
    t.equal(answer.headers.get('etag'), null, 'no version is told');
  }
  t.equal(trail.count(), before, 'nothing was recorded, nothing was told');
  lock.exec('ROLLBACK');
  lock.close();
  const again = await epr.request<Bundle>('GET', `Flag?patient=${number}`);
  t.equal(again.status, 200, 'and it goes on once the store takes it again');
  t.match(
    (await la.request('GET', `Patient/${number}`)).body,
    { name: [{ family: 'Disclosed' }] },
    'no write half done',
  );
});

t.test('I1: whatever was answered has its AuditEvent by then', async (t) => {
  const plan = freshPlan();
  const [id = ''] = await submit(la, plan);
  const paths = [
    `Flag?patient=${plan.nhsNumber}`,
    `Flag/${id}`,
    `Patient/${plan.nhsNumber}`,
    `AuditEvent?patient=${plan.nhsNumber}`,
  ];
  await Promise.all(
    Array.from({ length: 60 }, async (_, index) => {
      const { id: requestId, headers } = namedRequest();
      const answer = await epr.request('GET', paths[index % paths.length] ?? '', undefined, headers);
      const recorded = trail.of(requestId);
      if (answer.status !== 200 || recorded.length !== 1) t.fail(`${answer.status}, ${recorded.length} recorded`);
    }),
  );
});

t.test('I2: an AuditEvent that has an owner has its deliveries', async (t) => {
  const plan = freshPlan();
  await submit(la, plan);
  await submit(otherLa, { ...plan, kind: kindOf('LAC') });
  const read = namedRequest();
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`, undefined, read.headers);
  t.match(trail.of(read.id), [{ custodians: [ownId, otherId], owed: [ownId, otherId] }]);
  const db = new DatabaseSync(file, { readOnly: true });
  t.teardown(() => db.close());
  const rows = readStoredAudits(db);
  const owedOf = openOwed(db);
  let checked = 0;
  for (const { seq, body, labels } of rows) {
    const event: AuditEvent = JSON.parse(body);
    if (!labels.includes('access-history')) continue;
    const custodians = event.agent.flatMap((agent) =>
      agent.type?.coding?.[0]?.code === 'custodian' ? [(agent.who?.reference ?? '').slice('Organization/'.length)] : [],
    );
    const owed = owedOf(seq);
    if (custodians.sort().join() !== owed.join()) t.fail(`${event.id}: ${custodians} but ${owed}`);
    checked += 1;
  }
  t.ok(checked > 40, `${checked} reads of professionals`);
  const orphans = db.prepare('SELECT count(*) AS n FROM delivery WHERE seq NOT IN (SELECT seq FROM audit)').get();
  t.equal(Number(orphans?.['n']), 0, 'and no delivery is without its AuditEvent');
});

t.test('I3 and I4: undelivered stays owed over failures and a restart; delivered means a 2xx', async (t) => {
  const folder = makeTempFolder(t);
  const endpoint = await openReceiver();
  const elsewhere = await openReceiver();
  const registry = await makeSyntheticRegistry({
    authorityNames: ['Northmoor (synthetic)'],
    careProviderNames: ['Northmoor General (synthetic)'],
    subscriptionOrigins: [endpoint.origin],
  });
  writeFileSync(join(folder, 'registry.json'), JSON.stringify(registry.json));
  const settings = loadSettings({
    CPIS_PORT: '0',
    CPIS_DATA_FOLDER: join(folder, 'data'),
    CPIS_REGISTRY_FILE: join(folder, 'registry.json'),
    CPIS_DANGEROUSLY_ALLOW_LOOPBACK_ENDPOINTS: 'true',
    CPIS_NOTIFICATION_TIMEOUT_MS: '500',
  });
  const start = (): Promise<RunningServer> =>
    openServer(settings, {
      logger: buildLogger({ level: 'silent' }),
      onFatal: (error) => {
        throw error;
      },
    });
  let server = await start();
  t.teardown(async () => {
    await server.close();
    await endpoint.close();
    await elsewhere.close();
  });
  const [authority, careProvider] = [registry.authorities[0], registry.careProviders[0]];
  if (authority === undefined || careProvider === undefined) throw new Error('no clients');
  let client = openFhirClient(server.baseUrl, authority);
  const db = new DatabaseSync(join(folder, 'data', 'store.sqlite'), { readOnly: true });
  t.teardown(() => db.close());
  const count = (table: 'delivery' | 'delivered' | 'audit'): number =>
    Number(db.prepare(`SELECT count(*) AS n FROM ${table}`).get()?.['n']);
  const leased = (): number =>
    Number(db.prepare('SELECT count(*) AS n FROM delivery WHERE leaseToken IS NOT NULL').get()?.['n']);
  const metric = async (name: string): Promise<number> => {
    const operator = openFhirClient(server.baseUrl, registry.operator);
    const response = await fetch(`${server.origin}/metrics`, {
      headers: { authorization: `Bearer ${await operator.token()}` },
    });
    const lines = (await response.text()).split('\n').filter((text) => text.startsWith(name));
    return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
  };

  endpoint.behave({ kind: 'answer', status: 503 });
  const created = await client.request('POST', 'Subscription', subscriptionTo(`${endpoint.origin}/hook`));
  const id = idIn(created.headers.get('location'));
  const plans = [freshPlan(), freshPlan(), freshPlan()];
  await submit(client, ...plans);
  const professional = openFhirClient(server.baseUrl, careProvider);
  for (const plan of plans) await professional.request('GET', `Flag?patient=${plan.nhsNumber}`);
  await endpoint.waitFor(1);
  await waitUntil('the failure is known', async () => (await metric('cpis_delivery_endpoint_failures')) > 0);
  t.strictSame([count('delivery'), count('delivered')], [3, 0], '503: all still owed');
  t.ok((await metric('cpis_delivery_oldest_undelivered_seconds')) > 0, 'and alarmed: their age is measured');

  const nudge = async (): Promise<void> => {
    const { body } = await client.request<Subscription>('GET', `Subscription/${id}`);
    const { error: _, ...rest } = body;
    const answer = await client.request('PUT', `Subscription/${id}`, { ...rest, status: 'requested' });
    if (answer.status !== 200) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  };
  for (const behaviour of [
    { kind: 'redirect', status: 307, location: `${elsewhere.origin}/hook` },
    { kind: 'answer', status: 404 },
    {
      kind: 'answer',
      status: 400,
      body: '{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"invalid"}]}',
    },
    { kind: 'reset' },
    { kind: 'hang' },
  ] as const) {
    endpoint.behave(behaviour);
    const seen = endpoint.received.length;
    const attempts = await metric('cpis_delivery_attempts_total');
    await nudge();
    await endpoint.waitFor(seen + 1);
    await waitUntil('the attempt has ended', async () => (await metric('cpis_delivery_attempts_total')) > attempts);
    await waitUntil('its outcome is in the store', () => leased() === 0);
    t.strictSame([count('delivery'), count('delivered')], [3, 0], `${JSON.stringify(behaviour.kind)}: all still owed`);
  }
  t.equal(elsewhere.received.length, 0, 'a redirect is not followed');

  await client.request('DELETE', `Subscription/${id}`);
  t.equal(count('delivery'), 3, 'without a Subscription: still owed');
  await server.close();
  server = await start();
  client = openFhirClient(server.baseUrl, authority);
  t.equal(count('delivery'), 3, 'after a restart: still owed');
  const audits = count('audit');

  endpoint.behave({ kind: 'answer', status: 202 });
  const sentBefore = endpoint.received.length;
  await client.request('POST', 'Subscription', subscriptionTo(`${endpoint.origin}/again`));
  await waitUntil('all are delivered', () => count('delivered') === 3);
  t.equal(count('delivery'), 0);
  t.equal(await metric('cpis_delivery_oldest_undelivered_seconds'), 0);
  const arrived = endpoint.received.slice(sentBefore).map(({ body }) => (JSON.parse(body) as AuditEvent).id);
  t.strictSame(new Set(arrived).size, 3, 'each of the three arrived');
  t.ok(endpoint.received.slice(sentBefore).every(({ path }) => path.startsWith('/again/AuditEvent/')));
  t.ok(count('audit') > audits);
});

t.test('I4: what one authority is owed goes to its own endpoint alone', async (t) => {
  await la.request('POST', 'Subscription', subscriptionTo(`${receiver.origin}/one`));
  await otherLa.request('POST', 'Subscription', subscriptionTo(`${otherReceiver.origin}/two`));
  const [mine, theirs] = [freshPlan(), freshPlan()];
  await submit(la, mine);
  await submit(otherLa, theirs);
  const arrived = (bodies: typeof receiver.received, number: string): boolean =>
    bodies.some(({ body }) => body.includes(`Patient/${number}`));
  await epr.request('GET', `Flag?patient=${mine.nhsNumber}`);
  await epr.request('GET', `Flag?patient=${theirs.nhsNumber}`);
  await waitUntil(
    'each arrived',
    () => arrived(receiver.received, mine.nhsNumber) && arrived(otherReceiver.received, theirs.nhsNumber),
  );
  const db = new DatabaseSync(file, { readOnly: true });
  t.teardown(() => db.close());
  await waitUntil('neither is owed anything more', () => countOwed(db, ownId) + countOwed(db, otherId) === 0);
  t.notOk(arrived(receiver.received, theirs.nhsNumber));
  t.notOk(arrived(otherReceiver.received, mine.nhsNumber));
});

t.test('I5: for another authority, what is hidden and what is absent are the same', async (t) => {
  const plan = freshPlan();
  const [flagId = ''] = await submit(la, plan);
  const withdrawnPlan = freshPlan();
  const [withdrawnId = ''] = await submit(la, withdrawnPlan);
  await la.request('DELETE', `Flag/${withdrawnId}`);
  await epr.request('GET', `Flag?patient=${plan.nhsNumber}`);
  const [event] = resourcesOf<AuditEvent>(
    await la.request<Bundle>('GET', `AuditEvent?patient=${plan.nhsNumber}&subtype=search-type`),
  );
  const eventId = event?.id ?? '';
  const made = await la.request('POST', 'Subscription', { ...subscriptionTo(`${receiver.origin}/x`), status: 'off' });
  const subscriptionId = idIn(made.headers.get('location'));
  const mine = freshPlan();
  const [ownFlag = ''] = await submit(otherLa, mine);
  const unused = freshPlan();

  const view = async (method: string, path: string, body: unknown, id: string): Promise<string> => {
    const headers: Record<string, string> = path.startsWith('!') ? { 'if-match': 'W/"1"' } : {};
    const response = await fetch(
      path.replace(/^!/, '') === '' ? baseUrl : `${baseUrl}/${path.replace(/^!/, '').replaceAll('{id}', id)}`,
      {
        method,
        headers: {
          authorization: `Bearer ${await otherLa.token()}`,
          ...(body === undefined ? {} : { 'content-type': 'application/fhir+json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body).replaceAll('{id}', id) }),
      },
    );
    const kept = [...response.headers].filter(([name]) => !/^(date|x-request-id)$/.test(name));
    return `${response.status} ${JSON.stringify(kept)} ${await response.text()}`.replaceAll(id, '<id>');
  };
  const own = buildFlag(mine);
  const entry = (request: object, resource?: object) => ({ request, ...(resource === undefined ? {} : { resource }) });
  const bundle = (type: string, ...entries: object[]) => ({ resourceType: 'Bundle', type, entry: entries });
  const probes: [string, string, unknown?][] = [
    ['GET', 'Flag/{id}'],
    ['GET', 'Flag/{id}/_history/1'],
    ['GET', 'Flag/{id}/_history/2'],
    ['GET', 'Flag/{id}/_history/0'],
    ['PUT', 'Flag/{id}', own],
    ['PUT', 'Flag/{id}', { ...own, id: '{id}' }],
    ['PUT', '!Flag/{id}', own],
    ['PUT', 'Flag/{id}', { resourceType: 'Flag' }],
    ['DELETE', 'Flag/{id}'],
    ['DELETE', '!Flag/{id}'],
    ['GET', 'Flag?_id={id}'],
    ['GET', 'Flag?_id={id}&_summary=count'],
    ['GET', 'Flag?_id={id}&_include=Flag:patient&_include=Flag:author'],
    ['PUT', 'Flag?_id={id}', { ...own, id: '{id}' }],
    ['PUT', `Flag/${ownFlag}`, { ...own, id: '{id}' }],
    ['POST', '', bundle('batch', entry({ method: 'GET', url: 'Flag/{id}' }))],
    ['POST', '', bundle('batch', entry({ method: 'GET', url: 'Flag/{id}/_history/1' }))],
    ['POST', '', bundle('batch', entry({ method: 'PUT', url: 'Flag/{id}' }, own))],
    ['POST', '', bundle('batch', entry({ method: 'PUT', url: 'Flag/{id}', ifMatch: 'W/"1"' }, own))],
    ['POST', '', bundle('batch', entry({ method: 'DELETE', url: 'Flag/{id}' }))],
    ['POST', '', bundle('batch', entry({ method: 'GET', url: 'Flag?_id={id}' }))],
    ['POST', '', bundle('transaction', entry({ method: 'DELETE', url: 'Flag/{id}' }))],
    ['POST', '', bundle('transaction', entry({ method: 'PUT', url: 'Flag/{id}' }, own))],
    ['POST', '', bundle('transaction', entry({ method: 'GET', url: 'Flag/{id}' }))],
    ['GET', `AuditEvent?entity=Flag/{id}`],
  ];
  for (const hidden of [flagId, withdrawnId]) {
    for (const [method, path, body] of probes) {
      t.equal(await view(method, path, body, hidden), await view(method, path, body, absentId), `${method} ${path}`);
    }
  }
  for (const [method, path] of [
    ['GET', 'AuditEvent/{id}'],
    ['GET', 'AuditEvent?_id={id}'],
    ['GET', 'AuditEvent?_id={id}&_summary=count'],
  ] as const) {
    t.equal(
      await view(method, path, undefined, eventId),
      await view(method, path, undefined, absentId),
      `${method} ${path}`,
    );
  }
  for (const [method, path, body] of [
    ['GET', 'Subscription/{id}'],
    ['GET', 'Subscription/{id}/_history/1'],
    ['GET', 'Subscription?_id={id}'],
    ['PUT', 'Subscription/{id}', subscriptionTo(`${otherReceiver.origin}/x`)],
    ['DELETE', 'Subscription/{id}'],
  ] as const) {
    t.equal(
      await view(method, path, body, subscriptionId),
      await view(method, path, body, absentId),
      `${method} ${path}`,
    );
  }
  for (const [method, path, body] of [
    ['GET', 'Patient/{id}'],
    ['GET', 'Patient/{id}/_history/1'],
    ['GET', 'Patient?_id={id}'],
    ['GET', 'Patient?identifier=https://fhir.nhs.uk/Id/nhs-number|{id}'],
    ['GET', 'Flag?patient={id}'],
    ['GET', 'Flag?patient={id}&_summary=count'],
    ['GET', 'AuditEvent?patient={id}&_summary=count'],
    [
      'POST',
      'Flag',
      { ...own, identifier: [{ system: referenceSystem, value: 'probe' }], subject: { reference: 'Patient/{id}' } },
    ],
    ['PUT', `Flag/${ownFlag}`, { ...own, subject: { reference: 'Patient/{id}' } }],
  ] as const) {
    // A number that has not been asked for before: the prober's own look-ups are in its own AuditEvents.
    const answers = [await view(method, path, body, plan.nhsNumber), await view(method, path, body, unused.nhsNumber)];
    t.equal(answers[0], answers[1], `${method} ${path}`);
  }
  t.equal((await la.request('GET', `Flag/${flagId}`)).status, 200, 'and nothing was done to it');
  t.match((await la.request('GET', `Flag/${flagId}`)).body, { meta: { versionId: '1' } });
  const probed = namedRequest();
  await otherLa.request('GET', `Flag/${flagId}`, undefined, probed.headers);
  t.match(trail.of(probed.id), [{ outcome: '4', labels: [`viewer:${otherId}`], owed: [] }], 'the attempt is audited');
});

t.test('I6: no number, name, token or body in the log, the metrics or an error', async (t) => {
  const plan = freshPlan({ family: 'Canaryfamily', given: 'Canarygiven', reference: 'canary-reference' });
  const [id = ''] = await submit(la, plan);
  const number = plan.nhsNumber;
  const badNumber = `${number.slice(0, 9)}${(Number(number[9]) + 1) % 10}`;
  const secret = 'Bearer canary-secret';
  const errors: string[] = [];
  const ask = async (
    client: FhirClient,
    method: string,
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ) => {
    const answer = await client.request(method, path, body, headers);
    if (answer.status >= 400) errors.push(JSON.stringify([answer.body, [...answer.headers]]));
  };
  for (const client of [la, otherLa, epr, world.operator]) {
    await ask(client, 'GET', `Flag?patient=${number}`);
    await ask(client, 'GET', `Flag?patient=${badNumber}`);
    await ask(client, 'GET', `Flag?patient:identifier=${badNumber}&family=Canaryfamily`);
    await ask(client, 'GET', `Patient/${number}`);
    await ask(client, 'GET', `Patient/${badNumber}`);
    await ask(client, 'GET', `Patient?family=Canaryfamily&nonsense=${number}`, undefined, {
      prefer: 'handling=strict',
    });
    await ask(client, 'GET', `Observation/${number}`);
    await ask(client, 'DELETE', `Patient/${number}`);
    await ask(client, 'POST', 'Flag', { ...buildFlag(plan), note: 'Canaryfamily', status: 'Canaryfamily' });
    await ask(client, 'POST', 'Patient', {
      ...buildPatient(plan),
      birthDate: '2001-01-01',
      maritalStatus: { text: 'Canaryfamily' },
    });
    await ask(client, 'PUT', `Flag/${id}`, buildFlag({ ...plan, nhsNumber: badNumber }));
    await ask(client, 'GET', `Flag?patient=${number}`, undefined, { 'x-request-id': `Canaryfamily-${number}` });
    await ask(client, 'GET', `Flag?patient=${number}`, undefined, { IsUnscheduledAccessEvent: 'Canaryfamily' });
    await ask(client, 'PUT', `Patient/${number}`, buildPatient(plan), { 'if-match': `W/"${number}"` });
    await postBundle(client, 'batch', buildRecord(plan));
    await ask(client, 'POST', '', {
      resourceType: 'Bundle',
      type: 'transaction',
      entry: buildRecord({ ...plan, nhsNumber: badNumber }),
    });
    const hook = subscriptionTo(`https://canary-secret.example.org/${number}`) as { channel: object };
    await ask(client, 'POST', 'Subscription', {
      ...hook,
      channel: { ...hook.channel, header: [`Authorization: ${secret}`] },
    });
  }
  await fetch(`${baseUrl}/Flag?patient=${number}`, {
    headers: { authorization: `Bearer canary-token.${number}` },
  }).then(async (answer) => errors.push(await answer.text()));
  await fetch(`${baseUrl}/Patient/${number}`, {
    method: 'PUT',
    headers: { authorization: `Bearer ${await la.token()}`, 'content-type': 'application/fhir+json' },
    body: `{"family":"Canaryfamily",${number}`,
  }).then(async (answer) => errors.push(await answer.text()));
  const metrics = await fetch(`${origin}/metrics`, {
    headers: { authorization: `Bearer ${await world.operator.token()}` },
  });
  const places = { log: world.log(), metrics: await metrics.text(), errors: errors.join('\n') };
  t.ok(
    places.log.length > 1000 && places.metrics.includes('cpis_') && errors.length > 40,
    'there is something to look at',
  );
  const tokens = await Promise.all([la, otherLa, epr, world.operator].map((client) => client.token()));
  const signatures = tokens.map((token) => token.split('.')[2] ?? token);
  for (const [place, text] of Object.entries(places)) {
    for (const canary of [number, badNumber, 'Canary', 'canary', 'Alex Example', ...signatures]) {
      t.notOk(text.includes(canary), `${place}: no ${canary.slice(0, 12)}`);
    }
    t.notMatch(text, /(?<![0-9.-])999[0-9]{7}(?![0-9])/, `${place}: no NHS number of the test range`);
  }
});

t.test('I7: AuditEvents are append-only', async (t) => {
  await la.request('GET', 'Flag');
  const [event] = resourcesOf<AuditEvent>(await la.request<Bundle>('GET', 'AuditEvent?_count=1'));
  const id = event?.id ?? '';
  const db = new DatabaseSync(file);
  t.teardown(() => db.close());
  const fingerprint = (): string => {
    const hash = createHash('sha256');
    for (const { body, labels } of readStoredAudits(db, 'seq <= ?', last)) hash.update(`${body}${labels}`);
    return hash.digest('hex');
  };
  const last = Number(db.prepare('SELECT max(seq) AS n FROM audit').get()?.['n']);
  const before = fingerprint();
  const forged = { ...event, outcome: '8', id };
  const patch = [{ op: 'replace', path: '/outcome', value: '8' }];
  const attempts: [string, string, unknown?][] = [
    ['PUT', `AuditEvent/${id}`, forged],
    ['PUT', `AuditEvent?_id=${id}`, forged],
    ['POST', 'AuditEvent', { ...forged, id: undefined }],
    ['PATCH', `AuditEvent/${id}`, patch],
    ['DELETE', `AuditEvent/${id}`],
    ['DELETE', `AuditEvent?_id=${id}`],
    ['POST', `AuditEvent/${id}/$delete`, {}],
    ['PUT', `AuditEvent/${id}/_history/1`, forged],
    ['POST', '$purge', {}],
  ];
  for (const client of [la, epr, world.operator]) {
    for (const [method, path, body] of attempts) {
      const { status } = await client.request(method, path, body);
      t.ok(status >= 400 && status < 500, `${method} ${path}: ${status}`);
    }
    const entries = [
      { request: { method: 'PUT', url: `AuditEvent/${id}` }, resource: forged },
      { request: { method: 'POST', url: 'AuditEvent' }, resource: forged },
      { request: { method: 'DELETE', url: `AuditEvent/${id}` } },
    ];
    t.strictSame(statusesOf(await postBundle(client, 'batch', entries)), new Array(3).fill('405 Method Not Allowed'));
    for (const entry of entries) t.equal((await postBundle(client, 'transaction', [entry])).status, 405);
  }
  for (const sql of [
    "UPDATE audit SET outcome = '8'",
    `DELETE FROM audit WHERE id = '${id}'`,
    'DELETE FROM audit_key',
    'UPDATE audit_key SET key = key',
    'DELETE FROM audit_text',
    "UPDATE audit_text SET text = ''",
  ]) {
    t.throws(() => db.exec(sql), /append-only/, sql);
  }
  t.equal(fingerprint(), before, 'every AuditEvent is as it was written');
  const flags = resourcesOf<Flag>(await la.request<Bundle>('GET', 'Flag'));
  t.ok(flags.length > 0);
});
